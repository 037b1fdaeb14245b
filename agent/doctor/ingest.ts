/**
 * Whether the ingest endpoint answers, and how far its clock is from this node's: one HTTP/2 request to a
 * method that does not exist. Any answer is an answer, and its date header tells the time to the second.
 */
import { connect, constants } from "node:http2";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import { error, ok, warning, type Finding } from "./finding.ts";

const answerMs = 5_000;
/** The date header counts seconds; more than this is no rounding. */
const clockMs = 2_500;

export async function ingestFindings(clock: Clock, endpoint: string): Promise<Finding[]> {
  const url = `${endpoint.startsWith("grpcs://") ? "https" : "http"}://${endpoint.replace(/^grpcs?:\/\//, "")}`;
  let date: string | undefined;
  const askedMs = clock.now();
  try {
    date = await ask(url);
  } catch (failure) {
    return [
      error(
        "ingest",
        `${endpoint} does not answer: ${errorMessage(failure)}; readings wait in the spool`,
        "set AXONIZE_INGEST_ENDPOINT to ingest's gRPC port (4317) and let the network policy pass it",
      ),
    ];
  }
  const reached = ok("ingest", `${endpoint} answers`);
  const theirs = Date.parse(date ?? "");
  if (Number.isNaN(theirs)) return [reached];
  // The header was cut to the second somewhere between asking and now.
  const offsetMs = (askedMs + clock.now()) / 2 - (theirs + 500);
  if (Math.abs(offsetMs) <= clockMs) {
    return [reached, ok("clock", "within a second or two of ingest's")];
  }
  const seconds = Math.round(Math.abs(offsetMs) / 1000);
  const way = offsetMs > 0 ? "ahead of" : "behind";
  return [
    reached,
    warning(
      "clock",
      `${seconds} s ${way} ingest's: spans and readings of this node do not line up`,
      "run a time service on the node: systemctl enable --now chronyd (or systemd-timesyncd)",
    ),
  ];
}

/** The answer's date header. */
function ask(url: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const session = connect(url);
    const end = (): void => session.destroy();
    session.setTimeout(answerMs, () => {
      reject(new Error(`no answer within ${answerMs / 1000} s`));
      end();
    });
    session.on("error", (failure) => {
      reject(failure);
      end();
    });
    session.on("close", () => reject(new Error("the connection was closed")));
    const request = session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: "/axonize.agent.v1.AgentService/Doctor",
      [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
      te: "trailers",
    });
    // The request fails because its connection did: that one's words are the useful ones.
    request.on("error", (failure) =>
      reject(failure.cause instanceof Error ? failure.cause : failure),
    );
    request.on("response", ({ date }) => {
      resolve(typeof date === "string" ? date : undefined);
      end();
    });
    request.end();
  });
}
