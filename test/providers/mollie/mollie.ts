/** The way to the Mollie of our own through Prism, which says where one of the two speaks otherwise than Mollie's document. */
import type { Connection } from "../../../src/provider/seam";
import { type Mock, startPrismBefore } from "../mocks";
import type { MollieApi } from "./api";
import { startStandIn } from "./stand-in";

export const API_KEY = "test_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM";

export interface Mollie extends Pick<MollieApi, "ledger" | "faults"> {
  readonly connection: Connection;
  /** What Prism has found wrong with requests and answers. */
  readonly violations: string[];
  readonly stop: () => Promise<void>;
}

export async function startMollie(): Promise<Mollie> {
  const standIn = await startStandIn();
  const prism: Mock = await startPrismBefore(standIn.url);
  const violations: string[] = [];
  const connection: Connection = {
    accountId: "mollie_3",
    merchantId: 1,
    apiOrigin: "https://api.mollie.com",
    secrets: { api_key: API_KEY, notifications_0: "new", notifications_1: "old" },
    fetch: async (request) => {
      // A body of a known length: Prism passes on one in pieces as what no server takes.
      const body = request.method === "GET" ? null : await request.text();
      const { method, headers } = request;
      const url = request.url.replace("https://api.mollie.com", prism.url);
      const response = await fetch(url, { method, headers, body: body || null });
      const text = await response.clone().text();
      if (text.includes("stoplight.io/prism")) violations.push(`${request.method} ${request.url}\n${text}`);
      return response;
    },
  };
  const stop = async () => {
    await prism.stop();
    await standIn.stop();
  };
  const { ledger, faults } = standIn.api;
  return { ledger, faults, connection, violations, stop };
}
