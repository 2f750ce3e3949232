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

/** What nobody can read is no answer. */
export const UNREADABLE: Unanswered = { tag: "unknown", detail: "The answer is not what the provider documents" };

/** A call that was not taken, and may be repeated: when, its `Retry-After` says. */
export function busy({ headers }: ProviderAnswer, detail: string): Unanswered {
  const seconds = /^\d{1,6}$/.exec(headers.get("Retry-After") ?? "")?.[0];
  return { tag: "busy", detail, retryAfterMs: seconds === undefined ? null : Number(seconds) * 1_000 };
}

/**
 * Whether a provider has judged a call. What redirects, or is no answer of HTTP's to such a request, is none of the provider's.
 *
 * @param unjudged statuses of a refusal that say nothing of the call
 */
export function isJudged({ status }: ProviderAnswer, unjudged: readonly number[]): boolean {
  const isAnswer = (status >= 200 && status < 300) || (status >= 400 && status < 500);
  return isAnswer && !unjudged.includes(status);
}

/** Nothing comes of a call without credentials, and it is repeated once they are replaced. */
const NOT_AUTHORISED: Unanswered = {
  tag: "busy",
  detail: "The provider does not take the account's credentials",
  retryAfterMs: null,
};

/**
 * What says nothing of the money, at a provider with accounts, which answers 409 and 429 to what it does not do now; null where the
 * answer does.
 */
export function judgeByStatus(
  answer: ProviderAnswer | Unanswered,
  detailOf: (answer: ProviderAnswer) => string,
  unjudged: readonly number[],
): Unanswered | null {
  if (answer.tag !== "answer") return answer;
  const { status } = answer;
  if (status === 401 || status === 403) return NOT_AUTHORISED;
  if (status === 409 || status === 429) return busy(answer, detailOf(answer));
  return isJudged(answer, unjudged) ? null : { tag: "unknown", detail: detailOf(answer) };
}

function parse(text: string): unknown {
  if (text.length > MAX_ANSWER_LENGTH) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
