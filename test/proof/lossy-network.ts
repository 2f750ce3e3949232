/** The way between the service and a provider, which are processes of their own: it loses requests and answers, and lets some come late. */
import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "./kills-writer.ts";

/** How many calls each thing befalls, of all. */
const FAULTS = { requestLost: 0.03, requestLate: 0.01, answerLost: 0.04 };
type Fault = keyof typeof FAULTS;
const NOTIFICATION_LOST = 0.08;
/** How late a request comes of which its sender has long heard that the connection is lost, in milliseconds. */
const MAX_LATE_MS = 2_000;
/** How long anything may take, in milliseconds: longer than the service waits. */
const MAX_CALL_MS = 20_000;
const ANSWER_HEADERS = ["Content-Type", "Retry-After", "Idempotent-Replayed", "Sandbox-Connection"];

export class LossyNetwork {
  readonly counts = { calls: 0, requestLost: 0, requestLate: 0, answerLost: 0, notifications: 0, notificationsLost: 0 };
  readonly #late = new Set<Promise<unknown>>();
  readonly #random: Random;
  readonly #watch: (path: string, body: string) => void;
  #isWhole = false;

  /**
   * @param watch sees every POST to the provider before it is on its way
   */
  constructor(random: Random, watch: (path: string, body: string) => void) {
    this.#random = random;
    this.#watch = watch;
  }

  /** Nothing is lost any more, and what was late has come. */
  async mend(): Promise<void> {
    this.#isWhole = true;
    await Promise.all(this.#late);
  }

  /** A request of the service's on its way to the provider. */
  async toProvider(request: Request, provider: string): Promise<Response> {
    const { method, headers } = request;
    const body = method === "GET" ? null : await request.text();
    const { pathname, search } = new URL(request.url);
    this.counts.calls++;
    if (body !== null) this.#watch(pathname, body);
    const carry = () => forward(provider + pathname + search, { method, headers: Object.fromEntries(headers), body });
    const fault = this.#strike();
    if (fault === null) return carry();
    this.counts[fault]++;
    if (fault === "answerLost") await carry();
    if (fault === "requestLate") {
      const late: Promise<unknown> = pause(this.#random() * MAX_LATE_MS)
        .then(carry)
        .finally(() => this.#late.delete(late));
      this.#late.add(late);
    }
    return lost();
  }

  /** A notification of the provider's on its way to the service. */
  async toService(request: Request, service: string): Promise<Response> {
    const { method, headers } = request;
    const body = await request.text();
    this.counts.notifications++;
    if (!this.#isWhole && this.#random() < NOTIFICATION_LOST) {
      this.counts.notificationsLost++;
      // Half of them the provider takes for delivered.
      return this.#random() < 0.5 ? new Response(null, { status: 204 }) : lost();
    }
    return forward(service + new URL(request.url).pathname, { method, headers: Object.fromEntries(headers), body });
  }

  #strike(): Fault | null {
    if (this.#isWhole) return null;
    let left = this.#random();
    for (const [fault, share] of Object.entries(FAULTS)) {
      left -= share;
      if (left < 0) return fault as Fault;
    }
    return null;
  }
}

/** The sandbox's sign for a connection that has ended without an answer. */
function lost(): Response {
  return new Response(null, { status: 502, headers: { "Sandbox-Connection": "lost" } });
}

/** Whoever was just killed gives no answer. */
async function forward(
  url: string,
  request: { readonly method: string; readonly headers: Record<string, string>; readonly body: string | null },
): Promise<Response> {
  const { host: _, "content-length": __, connection: ___, ...headers } = request.headers;
  try {
    const response = await fetch(url, { ...request, headers, signal: AbortSignal.timeout(MAX_CALL_MS) });
    const text = await response.text();
    const kept = ANSWER_HEADERS.flatMap((name): [string, string][] => {
      const value = response.headers.get(name);
      return value === null ? [] : [[name, value]];
    });
    return new Response(text === "" ? null : text, { status: response.status, headers: kept });
  } catch {
    return lost();
  }
}
