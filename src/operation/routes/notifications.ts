/** What providers send: a notification is a hint that something may have changed, and the provider is asked for what is true. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { address, refuseBeyond } from "../../auth/rate-limits";
import type { App } from "../../context";
import { answer } from "../../http/answer";
import { problem } from "../../http/problem";
import { readText } from "../../http/read-json";
import { findAnyAccount } from "../../provider/accounts/accounts";
import { accountConnection } from "../../provider/accounts/connection";
import { ACCOUNT_NAME_PATTERN, readAccountName } from "../../provider/accounts/names";
import { senders } from "../../provider/accounts/senders";
import { ACCOUNT_PROVIDERS, allowsSandbox, readSandboxAccountId, sandboxConnection } from "../../provider/providers";
import { sandbox } from "../../provider/sandbox";
import type { Adapter, Connection, Located, Notified } from "../../provider/seam";
import { createRoute, newApp, PUBLIC, registerRoute } from "../../route";
import { commitTime } from "../../storage/clock";
import type { Database } from "../../storage/database";
import { logInfo } from "../../storage/log";
import { objectName } from "../../storage/object-name";
import { classifyObjectError, Outage, withRetries } from "../../storage/outage";
import { sql } from "../../storage/sql";
import { storeItem } from "../journal/items";

export const notifications = newApp();

export const receiveProviderNotificationRoute = createRoute({
  method: "post",
  path: "/api/v1/provider-notifications/{account_id}",
  operationId: "receiveProviderNotification",
  summary: "Take a provider's notification",
  description:
    "For providers: the signature over the raw body is checked before anything is read. One that was taken before costs nothing. Whatever it says, " +
    "the provider is asked.",
  tags: ["Providers"],
  ...PUBLIC,
  request: {
    params: z.object({
      account_id: z
        .string()
        .regex(ACCOUNT_NAME_PATTERN, { error: "Must be the id of a provider account" })
        .openapi({
          param: { name: "account_id", in: "path" },
          description: "The account at the provider",
          example: "sandbox_1",
        }),
    }),
    query: z.strictObject({
      payment: z.string().optional().openapi({
        description: "The payment that it is about, where its provider was told a URL for each payment",
        example: "1",
      }),
      mac: z.string().optional().openapi({
        description: "What authenticates such a URL: in hex",
        example: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
      }),
    }),
  },
  // Mollie sends again whatever is not answered with just this status.
  responses: { 200: { description: "It was taken, or is about nothing that the service knows" } },
  problems: ["notification_not_signed", "provider_account_not_found", "rate_limited", "unavailable"],
});

registerRoute(
  notifications,
  receiveProviderNotificationRoute,
  async (c, { params }) => {
    const accountId = params.account_id;
    const blocked = refuseStranger(c);
    if (blocked) return blocked;
    const account = await findSender(c, accountId);
    if (account === null) return refuseUnsigned(c, "provider_account_not_found");
    const body = await readText(c);
    if (body instanceof Response) return body;
    const { adapter, connection } = account;
    const request = { url: c.req.url, headers: c.req.raw.headers, body, now: Date.now() };
    const notified = await adapter.readNotification(connection, request);
    if (notified.tag === "unsigned") return refuseUnsigned(c, "notification_not_signed");
    if (notified.tag === "notified") await take(c, account, notified);
    return answer(c, 200, null, {});
  },
  { hasRawBody: true },
);

/** An account that a notification is for. */
interface Account {
  readonly accountId: string;
  readonly merchantId: number;
  readonly adapter: Adapter;
  readonly connection: Connection;
  /** Asks the provider whose payment a reference is; undefined where its notifications say so themselves. */
  readonly locate: ((reference: string) => Promise<Located>) | undefined;
}

/** The account of a name, as it is remembered or found; null when there is none. One round trip for one that is not remembered. */
async function findSender(c: Context<App>, accountId: string): Promise<Account | null> {
  const ofSandbox = allowsSandbox(c.env) ? readSandboxAccountId(accountId) : null;
  if (ofSandbox !== null) {
    const connection = await sandboxConnection(c.env, ofSandbox, null);
    return { accountId, merchantId: ofSandbox, adapter: sandbox, connection, locate: undefined };
  }
  const named = readAccountName(accountId);
  const adapter = named && ACCOUNT_PROVIDERS[named.provider];
  if (!adapter) return null;
  const row = await senders.find(c.env.DB, accountId, () => findAnyAccount(c.get("db"), named.id));
  if (row?.provider !== named.provider) return null;
  const connection = await accountConnection(c.env, row, adapter);
  const locate = (reference: string) => adapter.locate(connection, reference);
  return { accountId, merchantId: row.merchant_id, adapter, connection, locate };
}

/** Refuses an address that has sent too much that nobody signed, at no cost; null where it has not. */
function refuseStranger(c: Context<App>): Response | null {
  return senders.isBlocked(address(c), Date.now())
    ? problem(c, "rate_limited", { headers: { "Retry-After": "60" } })
    : null;
}

/** Refuses what no provider has signed, and counts it for its address: beyond the quota, it is refused before anything is looked up. */
async function refuseUnsigned(
  c: Context<App>,
  kind: "provider_account_not_found" | "notification_not_signed",
): Promise<Response> {
  const from = address(c);
  const beyond = await refuseBeyond(c, "FAILURE_RATE", `notification ${from}`);
  if (beyond) senders.block(from, Date.now());
  return beyond ?? problem(c, kind);
}

/**
 * Has the payment's object ask the provider, unless the notification was taken before. It is recorded once the object is woken: what
 * breaks off in between is sent again, and wakes it again.
 *
 * @throws Outage when the object or D1 is out of reach, for the provider to send it again
 */
async function take(
  c: Context<App>,
  account: Account,
  { id, reference, paymentId: told }: Extract<Notified, { tag: "notified" }>,
): Promise<void> {
  const db = c.get("db");
  if (id !== null && (await isRecorded(db, account, id))) return;
  const paymentId = told ?? (await locate(account, reference));
  if (paymentId !== null) {
    // What it is about is found by asking: the object does so after this answer, by its alarm.
    const name = objectName({ merchantId: account.merchantId, id: paymentId });
    await withRetries(() => c.env.PAYMENT.getByName(name).wake(), classifyObjectError);
  }
  await record(db, account, id, reference, paymentId);
  const fields = { request_id: c.get("requestId"), account_id: account.accountId };
  logInfo({ message: "provider notification", ...fields, payment_id: paymentId ?? undefined });
}

/**
 * The payment of a reference, as the provider was told it; null where it was told of none.
 *
 * @throws Outage when the provider does not say, for it to send the notification again
 */
async function locate({ accountId, locate }: Account, reference: string): Promise<number | null> {
  const located = await locate?.(reference);
  switch (located?.tag) {
    case undefined:
    case "not_found":
      return null;
    case "located":
      return located.paymentId;
    case "busy":
    case "unknown":
      throw new Outage(`The provider of ${accountId} does not say whose payment it has told of: ${located.detail}`);
  }
}

/** Whether a notification was taken before. One round trip. */
async function isRecorded(db: Database, { accountId }: Account, id: string): Promise<boolean> {
  const found = await db.all<{ one: number }>(
    sql`SELECT 1 AS one FROM provider_notifications WHERE account_id = ${accountId} AND id = ${id}`,
  );
  return found.length > 0;
}

/** Records a notification, and what it is about where no payment is known. One round trip. */
async function record(
  db: Database,
  { accountId, merchantId }: Account,
  id: string | null,
  reference: string,
  paymentId: number | null,
): Promise<void> {
  const time = commitTime(Date.now());
  const item = {
    payment_id: 0,
    // The sandbox's is none that anybody has made.
    account: readSandboxAccountId(accountId) === null ? accountId : null,
    kind: "unknown_payment",
    reference,
    detail: "The provider tells of a payment that is not known here",
  } as const;
  // Of a payment that has another name at the provider, somebody else has told.
  const isUnknown = sql`EXISTS (SELECT 1 FROM merchants WHERE id = ${merchantId})
    AND NOT EXISTS (SELECT 1 FROM payments WHERE id = ${paymentId} AND merchant_id = ${merchantId}
    AND (provider_reference IS NULL OR provider_reference = ${reference}))`;
  await db.batch<[never, never]>([
    id === null
      ? null
      : sql`INSERT INTO provider_notifications (account_id, id, created_at) VALUES (${accountId}, ${id}, ${time})
        ON CONFLICT DO NOTHING`,
    storeItem(merchantId, item, time, isUnknown),
  ]);
}
