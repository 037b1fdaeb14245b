/**
 * Reads just enough of a ClickHouse statement to serve it: what kind it is, where inline data of an
 * INSERT begins, which FORMAT it names. Rewrites a read so that its result goes to a file, and an
 * insert so that its data come from one.
 *
 * It knows tokens (quotes, comments, brackets, heredocs) and nothing of the grammar: what it does
 * not understand reaches the engine unchanged, and the engine's own error is the answer.
 */
export type Statement =
  | { kind: "read"; text: string; head: string; format: string | undefined; tail: string }
  | { kind: "insert"; head: string; settings: string; format: string; dataAt: number }
  | { kind: "other"; text: string }
  | { kind: "refused"; code: number; name: string; message: string };

interface Token {
  /** Upper-cased for words, the text itself for the rest. */
  text: string;
  word: boolean;
  start: number;
  end: number;
  /** Brackets open around the token. */
  depth: number;
}

const readWords = new Set([
  "SELECT",
  "WITH",
  "SHOW",
  "DESC",
  "DESCRIBE",
  "EXISTS",
  "EXPLAIN",
  "FROM",
]);

export function parseStatement(sql: string): Statement {
  const first = scan(sql, 0, 0);
  if (first === undefined) {
    return refused(
      62,
      "SYNTAX_ERROR",
      "Syntax error: failed at position 1 (end of query): Empty query",
    );
  }
  if (first.word && first.text === "INSERT") return parseInsert(sql);
  const tokens = tokenize(sql);
  const semicolon = tokens.findIndex((token) => token.text === ";");
  if (semicolon >= 0 && tokens.slice(semicolon).some((token) => token.text !== ";")) {
    return multiStatement(tokens[semicolon]?.end ?? 0);
  }
  const own = semicolon >= 0 ? tokens.slice(0, semicolon) : tokens;
  if (hasWords(own, "INTO", "OUTFILE")) return noFiles("INTO OUTFILE");
  const text = sql.slice(0, own.at(-1)?.end ?? 0);
  if (!isRead(own)) return { kind: "other", text };
  return splitFormat(text, own);
}

/** The read with its result in `format`, written to `file` (which exists, for instance a FIFO). */
export function readIntoFile(
  read: Extract<Statement, { kind: "read" }>,
  options: { file: string; format: string },
): string {
  return `${read.head}\nINTO OUTFILE ${quote(options.file)} TRUNCATE FORMAT ${options.format} ${read.tail}`;
}

/** The insert with its data taken from `file`. */
export function insertFromFile(
  insert: Extract<Statement, { kind: "insert" }>,
  file: string,
): string {
  return `${insert.head} FROM INFILE ${quote(file)} COMPRESSION 'none' ${insert.settings} FORMAT ${insert.format}`;
}

/** A string literal of ClickHouse SQL. */
export function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

/** An identifier of ClickHouse SQL. */
export function quoteName(name: string): string {
  return `\`${name.replaceAll("\\", "\\\\").replaceAll("`", "\\`")}\``;
}

function isRead(tokens: readonly Token[]): boolean {
  const first = tokens.find((token) => token.text !== "(");
  return first !== undefined && first.word && readWords.has(first.text);
}

/** `… FORMAT name [SETTINGS …]` at the end of a read; SETTINGS before FORMAT belong to the head. */
function splitFormat(text: string, tokens: readonly Token[]): Statement {
  const at = tokens.findLastIndex(
    (token, index) =>
      token.word &&
      token.text === "FORMAT" &&
      token.depth === 0 &&
      tokens[index + 1]?.word === true &&
      (tokens[index + 2] === undefined || tokens[index + 2]?.text === "SETTINGS"),
  );
  const keyword = tokens[at];
  const name = tokens[at + 1];
  if (at < 1 || keyword === undefined || name === undefined) {
    return { kind: "read", text, head: text, format: undefined, tail: "" };
  }
  return {
    kind: "read",
    text,
    head: text.slice(0, keyword.start),
    format: text.slice(name.start, name.end),
    tail: text.slice(name.end),
  };
}

/** An INSERT is read token by token, because what follows FORMAT or VALUES are data, not SQL. */
function parseInsert(sql: string): Statement {
  const tokens: Token[] = [];
  let depth = 0;
  let at = 0;
  for (let token = scan(sql, at, depth); token !== undefined; token = scan(sql, at, depth)) {
    at = token.end;
    if (token.text === "(" || token.text === "[") depth += 1;
    if (token.text === ")" || token.text === "]") depth -= 1;
    if (token.word && token.depth === 0 && tokens.length > 2) {
      if (token.text === "VALUES") return insertOf(sql, tokens, "Values", token.start, token.end);
      if (token.text === "SELECT" || token.text === "WITH" || token.text === "FROM") {
        return insertSelect(sql, token);
      }
      if (token.text === "FORMAT") {
        const name = scan(sql, token.end, 0);
        if (name !== undefined && name.word) {
          const format = sql.slice(name.start, name.end);
          return insertOf(sql, tokens, format, token.start, skipLineEnd(sql, name.end));
        }
      }
    }
    // `INSERT INTO t (SELECT …)` is a select as well.
    if (token.word && token.text === "SELECT" && depth > 0 && tokens.at(-1)?.text === "(") {
      return insertSelect(sql, token);
    }
    tokens.push(token);
  }
  return { kind: "other", text: sql };
}

function insertSelect(sql: string, at: Token): Statement {
  const rest = tokenize(sql.slice(at.start));
  if (hasWords(rest, "FROM", "INFILE")) return noFiles("FROM INFILE");
  const semicolon = rest.findIndex((token) => token.text === ";");
  if (semicolon >= 0 && rest.slice(semicolon).some((token) => token.text !== ";")) {
    return multiStatement(at.start + (rest[semicolon]?.end ?? 0));
  }
  const end = semicolon >= 0 ? at.start + (rest[semicolon]?.start ?? 0) : sql.length;
  return { kind: "other", text: sql.slice(0, end) };
}

/** FROM INFILE stands before SETTINGS, so a SETTINGS clause is cut out of the head. */
function insertOf(
  sql: string,
  tokens: readonly Token[],
  format: string,
  headEnd: number,
  dataAt: number,
): Statement {
  const settings = tokens.find(
    (token, i) => i > 2 && token.text === "SETTINGS" && token.depth === 0,
  );
  return {
    kind: "insert",
    head: sql.slice(0, settings?.start ?? headEnd).trimEnd(),
    settings: settings === undefined ? "" : sql.slice(settings.start, headEnd).trim(),
    format,
    dataAt,
  };
}

/** Data begin after the blanks behind the format's name and at most one line end. */
function skipLineEnd(sql: string, from: number): number {
  let at = from;
  while (sql[at] === " " || sql[at] === "\t") at += 1;
  if (sql[at] === ";") at += 1;
  if (sql[at] === "\r") at += 1;
  if (sql[at] === "\n") at += 1;
  return at;
}

function hasWords(tokens: readonly Token[], first: string, second: string): boolean {
  return tokens.some(
    (token, i) => token.text === first && token.word && tokens[i + 1]?.text === second,
  );
}

const refused = (code: number, name: string, message: string): Statement => ({
  kind: "refused",
  code,
  name,
  message,
});

const multiStatement = (at: number): Statement =>
  refused(
    62,
    "SYNTAX_ERROR",
    `Syntax error (Multi-statements are not allowed): failed at position ${at}`,
  );

const noFiles = (clause: string): Statement =>
  refused(48, "NOT_IMPLEMENTED", `${clause} is for command line clients, not for HTTP`);

function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  let depth = 0;
  let at = 0;
  for (let token = scan(sql, at, depth); token !== undefined; token = scan(sql, at, depth)) {
    at = token.end;
    if (token.text === "(" || token.text === "[") depth += 1;
    if (token.text === ")" || token.text === "]") depth -= 1;
    tokens.push(token);
  }
  return tokens;
}

const blank = /(?:\s|--[^\n]*(?:\n|$)|#[ !][^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/y;
const wordOrNumber = /[\p{L}\p{N}_]+/uy;
const heredoc = /\$(\w*)\$/y;
const quoted: Readonly<Record<string, RegExp>> = {
  "'": /'[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*'/y,
  '"': /"[^"\\]*(?:(?:\\[\s\S]|"")[^"\\]*)*"/y,
  "`": /`[^`\\]*(?:(?:\\[\s\S]|``)[^`\\]*)*`/y,
};

/** The next token at or after `from`, comments skipped; undefined at the end. */
function scan(sql: string, from: number, depth: number): Token | undefined {
  const start = from + matchLength(blank, sql, from);
  const char = sql[start];
  if (char === undefined) return undefined;
  const word = matchLength(wordOrNumber, sql, start);
  if (word > 0) {
    const end = start + word;
    return { text: sql.slice(start, end).toUpperCase(), word: true, start, end, depth };
  }
  const end = start + tokenLength(sql, start, char);
  return {
    text: char,
    word: false,
    start,
    end,
    depth: char === ")" || char === "]" ? depth - 1 : depth,
  };
}

function tokenLength(sql: string, start: number, char: string): number {
  const pattern = quoted[char];
  // An unclosed quote swallows the rest; the engine then reports it.
  if (pattern !== undefined) return matchLength(pattern, sql, start) || sql.length - start;
  if (char === "$") {
    const tag = matchLength(heredoc, sql, start);
    const close = tag > 0 ? sql.indexOf(sql.slice(start, start + tag), start + tag) : -1;
    if (close >= 0) return close + tag - start;
  }
  return 1;
}

function matchLength(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0].length ?? 0;
}
