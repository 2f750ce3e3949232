/**
 * A Mollie of our own, after its documentation: payments that their payer pays, captures and refunds that are pending first, releases that
 * the bank makes, keys that are forgotten after an hour. Prism stands before it and says where it speaks otherwise than Mollie.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { MollieApi } from "./api";

export interface StandIn {
  /** Where it answers: an origin, without a slash at its end. */
  readonly url: string;
  readonly api: MollieApi;
  readonly stop: () => Promise<void>;
}

export async function startStandIn(): Promise<StandIn> {
  const api = new MollieApi();

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url: path = "", headers } = request;
    const key = headers["idempotency-key"];
    const answered = api.answer({
      ...{ method, path, authorization: headers.authorization ?? null },
      idempotencyKey: typeof key === "string" ? key : null,
      body: await text(request),
    });
    if (answered === null) response.destroy();
    else response.writeHead(answered.status, answered.headers).end(answered.body);
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
  return { url: `http://127.0.0.1:${port}`, api, stop };
}
