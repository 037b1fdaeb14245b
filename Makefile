# Thin: each target calls npm or docker compose. `npm run` lists everything.
.PHONY: up down migrate dev lint test test-sdk test-e2e dev-dashboard

up:
	docker compose up --build
down:
	docker compose down
migrate:
	npm run migrate
dev:
	npm run dev
lint:
	npm run check
test:
	npm test
test-sdk:
	npm test -- test/e2e/sdk
test-e2e:
	npm test -- test/e2e/
dev-dashboard:
	npm run dev:dashboard
