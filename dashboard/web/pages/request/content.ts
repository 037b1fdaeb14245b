/**
 * Reads captured content: the conversation forms that instrumentations send, else plain text. Pure.
 */

export interface Message {
  readonly role: string;
  readonly text: string;
}

/** A JSON list of messages (OTel gen_ai parts, OpenAI chat, OpenInference); undefined when it is none. */
export function parseConversation(text: string): readonly Message[] | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Looks like JSON and is not (often cut at a limit): shown as text.
    return undefined;
  }
  const list = Array.isArray(value) ? value : [value];
  const messages = list.map((item) => toMessage(item));
  return messages.length > 0 && messages.every((m) => m !== undefined) ? messages : undefined;
}

function toMessage(item: unknown): Message | undefined {
  if (!isRecord(item)) return undefined;
  const inner = isRecord(item["message"]) ? item["message"] : item;
  const role = inner["role"];
  if (typeof role !== "string") return undefined;
  const body = inner["parts"] ?? inner["content"] ?? inner["tool_calls"] ?? "";
  return { role, text: bodyText(body) };
}

function bodyText(body: unknown): string {
  if (typeof body === "string") return body;
  if (!Array.isArray(body)) return valueText(body);
  return body
    .map((part) => {
      if (!isRecord(part)) return valueText(part);
      const content = part["content"] ?? part["text"];
      return typeof content === "string" ? content : valueText(part);
    })
    .join("\n");
}

export function valueText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value, undefined, 2) : JSON.stringify(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
