-- The transaction of an agent's life in which it first told identity. It tells everything open at its
-- start; what the node had open before and was not told again has ended.
ALTER TABLE agents ADD COLUMN first_change xid8;
