import { Webhook } from "standardwebhooks";
import { expect, vi } from "vitest";

/** A request as a receiver gets it. */
export interface Received {
  /** The `webhook-id`. */
  readonly id: string;
  readonly method: string;
  readonly headers: Headers;
  readonly body: string;
  /** Of the receiver's secrets, those that have signed it, as the package `standardwebhooks` sees it. */
  readonly signedBy: readonly string[];
  readonly redirect: RequestInit["redirect"];
  /** Fires when the sender does not wait any longer. */
  readonly signal: AbortSignal | null;
}

/** What becomes of a request: an answer, or an error of the network. */
export type Reply = (received: Received) => Response | Promise<Response>;

export function answers(status: number, body: BodyInit | null = null, headers: HeadersInit = {}): Reply {
  return () => new Response(body, { status, headers });
}

export const drops: Reply = () => Promise.reject(new Error("Network connection lost."));

/** Says nothing until the sender gives up. */
export const hangs: Reply = ({ signal }) =>
  new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
  });

export const timesOut: Reply = () =>
  Promise.reject(new DOMException("The operation was aborted due to timeout", "TimeoutError"));

/** A reply that waits until it is let go. */
export function held(reply: Reply = answers(204)): Reply & { letGo(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return Object.assign((received: Received) => promise.then(() => reply(received)), { letGo: () => resolve() });
}

const receivers = new Map<string, Receiver>();

/** A webhook consumer at a host of its own. It takes what it is sent, unless a test says what becomes of it. */
export class Receiver {
  readonly host = `${crypto.randomUUID()}.example.com`;
  readonly url = `https://${this.host}/hook`;
  /** Those that may sign what is sent here. */
  readonly secrets: string[] = [];
  readonly received: Received[] = [];
  #replies: Reply[] = [];
  #otherwise: Reply = answers(204);

  constructor() {
    receivers.set(this.host, this);
  }

  /** What becomes of the next requests, in this order. */
  next(...replies: Reply[]): void {
    this.#replies.push(...replies);
  }

  /** What becomes of all requests for which nothing else was said. */
  always(reply: Reply): void {
    this.#otherwise = reply;
  }

  /** The ids of the events that have come, in order. */
  get ids(): string[] {
    return this.received.map(({ id }) => id);
  }

  async take(request: Request, init: RequestInit): Promise<Response> {
    const { method, headers } = request;
    const body = await request.text();
    const isSigned = (secret: string) => {
      try {
        new Webhook(secret).verify(body, Object.fromEntries(headers), { jsonParse: false });
        return true;
      } catch {
        return false;
      }
    };
    const signedBy = this.secrets.filter(isSigned);
    const { redirect, signal = null } = init;
    const received = { id: headers.get("webhook-id") ?? "", method, headers, body, signedBy, redirect, signal };
    this.received.push(received);
    return (this.#replies.shift() ?? this.#otherwise)(received);
  }
}

/** Puts the receivers in the place of the network: what the Worker fetches comes to the one of its host, or fails. */
export function listen(): void {
  const network: typeof fetch = async (input, init = {}) => {
    const request = new Request(input, init);
    const receiver = receivers.get(new URL(request.url).hostname);
    if (!receiver) throw new Error(`Nobody is at ${request.url}`);
    const response = await receiver.take(request, init);
    const location = response.headers.get("Location");
    return location && init.redirect !== "manual" ? network(location, init) : response;
  };
  vi.spyOn(globalThis, "fetch").mockImplementation(network);
}

/** Fails when a receiver was sent what none of its secrets has signed; forgets them all. */
export function expectAllSigned(): void {
  const forged = [...receivers.values()].flatMap(({ received }) => received.filter((one) => one.signedBy.length === 0));
  receivers.clear();
  expect(forged).toEqual([]);
}
