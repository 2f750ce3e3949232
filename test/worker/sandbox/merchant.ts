/** A merchant's account at the sandbox, as the service reaches it: by its adapter, and by the payer's browser. */
import { createExecutionContext, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterAll } from "vitest";
import { app } from "../../../src/app";
import { sandboxConnection } from "../../../src/provider/providers";
import { sandbox } from "../../../src/provider/sandbox";
import type { CaptureMethod, OperationKind, OperationRequest, ProviderOperation } from "../../../src/provider/seam";

export const ORIGIN = "http://localhost";
export const SECOND = 1_000;

let merchants = 1_000;
const accounts: ReturnType<typeof env.SANDBOX_LEDGER.getByName>[] = [];

// The runtime outlives the file, and its alarms with it.
afterAll(async () => {
  for (const account of accounts) await runInDurableObject(account, (_, state) => state.storage.deleteAlarm());
});

export interface Effect {
  kind: string;
  amount: number;
  nonce: string | null;
}

/** A merchant whose account at the sandbox nobody else has. */
export async function aMerchant() {
  const merchantId = ++merchants;
  const connection = await sandboxConnection(env, merchantId, ORIGIN);
  const account = env.SANDBOX_LEDGER.getByName(String(merchantId));
  accounts.push(account);
  let payments = 0;

  /** An operation on a payment of 100.00 EUR that the sandbox has made. */
  async function operation(
    request: OperationRequest,
    { captureMethod = "automatic" as CaptureMethod, nonce = crypto.randomUUID() } = {},
  ): Promise<ProviderOperation & { payment: { reference: string } }> {
    const amountMinor = 10_000;
    const payment = { id: ++payments, merchantId, amountMinor, currency: "EUR", captureMethod, reference: null };
    const asked: ProviderOperation = { kind: "authorize", payment, amountMinor, nonce, request };
    const made = await sandbox.prepare(connection, asked);
    if (made.tag !== "prepared") throw new Error(`The sandbox made no payment: ${made.tag}`);
    return { ...asked, payment: { ...payment, reference: made.reference } };
  }

  return {
    ...{ merchantId, connection, account, operation },
    perform: (asked: ProviderOperation) => sandbox.perform(connection, asked),
    observe: ({ payment }: ProviderOperation) => sandbox.observe(connection, payment),
    /** Another operation on the payment of one. */
    next: <Asked extends ProviderOperation>(asked: Asked, kind: OperationKind, amountMinor = asked.amountMinor) => ({
      ...{ ...asked, kind, amountMinor, nonce: crypto.randomUUID(), request: {} },
    }),
    async effects(): Promise<Effect[]> {
      const response = await connection.fetch(new Request("https://sandbox.invalid/v1/effects"));
      const { data } = await response.json<{ data: Effect[] }>();
      return data.map(({ kind, amount, nonce }) => ({ kind, amount, nonce }));
    },
  };
}

/** What a browser asks of the service; `bindings` instead of the Worker's own. */
export function browse(url: string, init: RequestInit = {}, bindings?: Env): Promise<Response> {
  const request = new Request(url, { redirect: "manual", ...init });
  return bindings
    ? Promise.resolve(app.fetch(request, bindings, createExecutionContext()))
    : exports.default.fetch(request);
}
