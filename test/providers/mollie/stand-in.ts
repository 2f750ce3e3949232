/**
 * A Mollie of our own, after its documentation: payments that their payer pays, captures and refunds that are pending first, releases that
 * the bank makes, keys that are forgotten after an hour. Prism stands before it and says where it speaks otherwise than Mollie.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Ledger, Refusal } from "./ledger";

const KEYS_ARE_KEPT_MS = 3_600_000;
const KEY = /^Bearer (test|live)_\w{30,}$/;

interface Kept {
  readonly at: number;
  readonly request: string;
  readonly status: number;
  readonly body: string;
}

export interface StandIn {
  /** Where it answers: an origin, without a slash at its end. */
  readonly url: string;
  readonly ledger: Ledger;
  /** What the next answers are made of instead, each of one request that is not done, or done with its answer lost. */
  readonly faults: ("lost" | number)[];
  readonly stop: () => Promise<void>;
}

export async function startStandIn(): Promise<StandIn> {
  const ledger = new Ledger();
  const keys = new Map<string, Kept>();
  const faults: ("lost" | number)[] = [];

  /** The answer to a request; the same to one that comes again under its key. */
  async function answer(request: IncomingMessage): Promise<{ status: number; body: string; isReplay?: true }> {
    const sent = request.method === "GET" ? "" : await text(request);
    const said = `${request.method} ${request.url} ${sent}`;
    if (!KEY.test(request.headers.authorization ?? "")) return refusal(new Refusal(401, "Missing authentication"));
    const key = request.method === "POST" ? request.headers["idempotency-key"] : undefined;
    const kept = typeof key === "string" ? keys.get(key) : undefined;
    if (kept && ledger.now - kept.at < KEYS_ARE_KEPT_MS) {
      return kept.request === said
        ? { ...kept, isReplay: true }
        : refusal(new Refusal(400, "The key was used for another request"));
    }
    const made = answerOnce(request, sent);
    if (typeof key === "string") keys.set(key, { at: ledger.now, request: said, ...made });
    return made;
  }

  function answerOnce({ method = "", url = "" }: IncomingMessage, sent: string) {
    const { pathname, searchParams } = new URL(url, "http://localhost");
    try {
      const body: unknown = sent === "" ? {} : JSON.parse(sent);
      const { status, ...answered } = ledger.answer(`${method} ${pathname.replace("/v2", "")}`, body, searchParams);
      return { status, body: answered.body === null ? "" : JSON.stringify(answered.body) };
    } catch (error) {
      if (error instanceof Refusal) return refusal(error);
      throw error;
    }
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const fault = request.method === "GET" ? undefined : faults.shift();
    if (typeof fault === "number") {
      const { status, body } = refusal(new Refusal(fault, "Not now"));
      response.writeHead(status, { "Content-Type": "application/hal+json", "Retry-After": "3" }).end(body);
      return;
    }
    const { status, body, isReplay } = await answer(request);
    if (fault === "lost") {
      response.destroy();
      return;
    }
    const headers = {
      ...(body !== "" && { "Content-Type": "application/hal+json" }),
      ...(isReplay && { "Idempotent-Replayed": "true" }),
    };
    response.writeHead(status, headers).end(body);
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error) => response.writeHead(500).end(String(error)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A server that listens on a port has an address with one.
  const { port } = server.address() as AddressInfo;
  const stop = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return { url: `http://127.0.0.1:${port}`, ledger, faults, stop };
}

function refusal({ status, message, field }: Refusal) {
  const _links = { documentation: { href: "https://docs.mollie.com/errors", type: "text/html" } };
  return {
    status,
    body: JSON.stringify({ status, title: "Refused", detail: message, ...(field && { field }), _links }),
  };
}
