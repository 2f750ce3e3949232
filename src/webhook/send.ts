/** One attempt to send a message to an endpoint. */
import { readRetryAfter } from "./schedule";
import { signedHeaders } from "./signature";
import { readUrl, type UrlRules } from "./url";

/** In milliseconds, for the whole answer. */
export const TIMEOUT_MS = 15_000;
/** In bytes of UTF-8: what is read of an answer, and what is kept of that. */
export const MAX_RESPONSE_BYTES_KEPT = 512;

export interface Message {
  /** The same on every attempt. */
  readonly id: string;
  readonly body: string;
}

export interface Target {
  readonly url: string;
  /** All that are valid; none when they could not be opened. */
  readonly secrets: readonly string[];
  /** As they are now; when the URL was set they may have been others. */
  readonly rules: UrlRules;
}

/** What came of an attempt, as it is kept. */
export interface Attempt {
  /** When it began, in milliseconds. */
  readonly at: number;
  readonly duration_ms: number;
  /** The HTTP status; null when there was no answer. */
  readonly status: number | null;
  /** Why there was none. */
  readonly error: string | null;
  /** The beginning of the answer's body, without control characters. */
  readonly answer: string;
}

export interface AttemptResult {
  readonly attempt: Attempt;
  readonly succeeded: boolean;
  /** Whether nothing was sent, since there was no secret to sign with. */
  readonly isUnsigned: boolean;
  /** How long the endpoint asked to be left alone, in milliseconds. */
  readonly retryAfter: number | null;
}

/** What an attempt says that could not be signed. */
export const UNSIGNED_MESSAGE = "Not sent: this service could not open the endpoint's secret";

/** Sends a message once. Never throws: whatever goes wrong is what came of it. */
export async function send({ url, secrets, rules }: Target, { id, body }: Message): Promise<AttemptResult> {
  const at = Date.now();
  const sent = (status: number | null, error: string | null, answer: string, retryAfter: number | null = null) => ({
    attempt: { at, duration_ms: Math.max(Date.now() - at, 0), status, error, answer },
    succeeded: status !== null && status >= 200 && status < 300,
    isUnsigned: false,
    retryAfter,
  });
  if (secrets.length === 0) return { ...sent(null, UNSIGNED_MESSAGE, ""), isUnsigned: true };
  const allowed = readUrl(url, rules);
  if (!allowed.ok) return sent(null, `The URL is not allowed: ${allowed.detail}`, "");
  try {
    const response = await fetch(allowed.url, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "User-Agent": "payment-service-webhooks",
        ...(await signedHeaders(secrets, id, at, body)),
      },
      body,
      // A redirect is no success: it would take the message to where nobody has said it may go.
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const retryAfter = readRetryAfter(response.headers.get("Retry-After"), at);
    return sent(response.status, null, await beginningOf(response), retryAfter);
  } catch {
    // What went wrong below HTTP would tell a merchant what is where in a network.
    return sent(null, "No connection", "");
  }
}

/** Control characters, and those that turn the direction of text: a log is to show what it holds. */
const CONTROLS = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** The beginning of a body; what breaks off later than the status has arrived does not matter. */
async function beginningOf({ body }: Response): Promise<string> {
  if (!body) return "";
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of body as ReadableStream<Uint8Array>) {
      chunks.push(chunk.subarray(0, MAX_RESPONSE_BYTES_KEPT - length));
      length += chunk.byteLength;
      if (length >= MAX_RESPONSE_BYTES_KEPT) break;
    }
  } catch {
    // What has come is kept.
  }
  const text = new TextDecoder()
    .decode(await new Blob(chunks).arrayBuffer())
    .replaceAll(/[\t\n\r]/g, " ")
    .replaceAll(CONTROLS, "\ufffd");
  return truncate(text, MAX_RESPONSE_BYTES_KEPT);
}

/** The beginning of a text that has so many bytes in UTF-8 at most, and ends with a whole character. */
function truncate(text: string, maxBytes: number): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes));
  return text.slice(0, read);
}
