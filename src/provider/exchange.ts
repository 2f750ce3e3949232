/** One request to a provider and its answer, for adapters: whatever goes wrong on the way is what came of it. */
import type { Connection, Unanswered } from "./seam";

/** How long a provider may take for its whole answer, in milliseconds. */
const PATIENCE_MS = 8_000;
/** Why nobody waits any more: a reason of its own has no stack to be taken. */
const ANSWERED = "answered";
/** Of an answer, in UTF-16 code units: a payment with a thousand refunds has less. */
const MAX_ANSWER_LENGTH = 4_000_000;

/** An answer whose body is JSON, or null where it is none. */
export interface ProviderAnswer {
  readonly tag: "answer";
  readonly status: number;
  readonly headers: Headers;
  readonly json: unknown;
}

type Unknown = Extract<Unanswered, { tag: "unknown" }>;

/** Sends a request once. Never throws. */
export async function exchange({ fetch }: Connection, request: Request): Promise<ProviderAnswer | Unknown> {
  const over = new AbortController();
  const answered = new AbortController();
  const send = async (): Promise<ProviderAnswer> => {
    const response = await fetch(new Request(request, { signal: over.signal }));
    const text = await response.text();
    return { tag: "answer", status: response.status, headers: response.headers, json: parse(text) };
  };
  // Not every way to a provider heeds the signal.
  const expire = async (): Promise<Unknown> => {
    await scheduler.wait(PATIENCE_MS, { signal: answered.signal });
    over.abort();
    return { tag: "unknown", detail: `No answer within ${PATIENCE_MS / 1_000} seconds` };
  };
  try {
    return await Promise.race([send(), expire()]);
  } catch {
    return { tag: "unknown", detail: "The connection ended without an answer" };
  } finally {
    answered.abort(ANSWERED);
  }
}

function parse(text: string): unknown {
  if (text.length > MAX_ANSWER_LENGTH) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
