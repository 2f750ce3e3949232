/** The API of the Mollie of our own: whose key it takes, what it keeps of a request's own key, and what becomes of the next ones instead. */
import { Ledger, Refusal } from "./ledger";

const KEYS_ARE_KEPT_MS = 3_600_000;
const KEY = /^Bearer (test|live)_\w{30,}$/;

export interface Sent {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly authorization: string | null;
  readonly idempotencyKey: string | null;
  readonly body: string;
}

export interface Answered {
  readonly status: number;
  /** JSON, or nothing. */
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface Kept {
  readonly at: number;
  readonly said: string;
  readonly answered: Answered;
}

export class MollieApi {
  readonly ledger = new Ledger();
  /** Each request that it has got. */
  readonly asked: Sent[] = [];
  /**
   * What becomes of the next requests that change something: they are not done and answered
   * with a status, or done with the answer lost.
   */
  readonly faults: ("lost" | number)[] = [];
  readonly #kept = new Map<string, Kept>();

  /** The answer to a request; null where it is lost. */
  answer(sent: Sent): Answered | null {
    this.asked.push(sent);
    const fault = sent.method === "GET" ? undefined : this.faults.shift();
    if (typeof fault === "number") {
      const answered = refusal(new Refusal(fault, "Not now"));
      return { ...answered, headers: { ...answered.headers, "Retry-After": "3" } };
    }
    const answered = this.#answerUnderKey(sent);
    return fault === "lost" ? null : answered;
  }

  #answerUnderKey({ method, path, authorization, idempotencyKey, body }: Sent): Answered {
    if (!KEY.test(authorization ?? "")) return refusal(new Refusal(401, "Missing authentication"));
    const key = method === "POST" ? idempotencyKey : null;
    const said = `${method} ${path} ${body}`;
    const kept = key === null ? undefined : this.#kept.get(key);
    if (kept && this.ledger.now - kept.at < KEYS_ARE_KEPT_MS) {
      const { headers } = kept.answered;
      return kept.said === said
        ? { ...kept.answered, headers: { ...headers, "Idempotent-Replayed": "true" } }
        : refusal(new Refusal(400, "The key was used for another request"));
    }
    const answered = this.#answerOnce(method, path, body);
    if (key !== null) this.#kept.set(key, { at: this.ledger.now, said, answered });
    return answered;
  }

  #answerOnce(method: string, path: string, sent: string): Answered {
    const { pathname, searchParams } = new URL(path, "http://localhost");
    try {
      const json: unknown = sent === "" ? {} : JSON.parse(sent);
      const { status, body } = this.ledger.answer(`${method} ${pathname.replace("/v2", "")}`, json, searchParams);
      return body === null ? { status, body: "", headers: {} } : { status, body: JSON.stringify(body), headers: HAL };
    } catch (error) {
      if (error instanceof Refusal) return refusal(error);
      throw error;
    }
  }
}

const HAL = { "Content-Type": "application/hal+json" };

function refusal({ status, message, field }: Refusal): Answered {
  const _links = { documentation: { href: "https://docs.mollie.com/errors", type: "text/html" } };
  const body = JSON.stringify({ status, title: "Refused", detail: message, ...(field && { field }), _links });
  return { status, body, headers: HAL };
}
