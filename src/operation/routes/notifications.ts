/** What providers send: a notification is a hint that something may have changed, and the provider is asked for what is true. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "../../context";
import { answer } from "../../http/answer";
import { problem } from "../../http/problem";
import { readText } from "../../http/read-json";
import { allowsSandbox, readSandboxAccountId, sandboxConnection } from "../../provider/providers";
import { sandbox } from "../../provider/sandbox";
import type { Notified } from "../../provider/seam";
import { createRoute, newApp, PUBLIC, registerRoute } from "../../route";
import { commitTime } from "../../storage/clock";
import type { Database } from "../../storage/database";
import { logInfo } from "../../storage/log";
import { objectName } from "../../storage/object-name";
import { classifyObjectError, withRetries } from "../../storage/outage";
import { sql } from "../../storage/sql";

export const notifications = newApp();

const ACCOUNT_ID = /^[a-z]{1,20}_[1-9][0-9]{0,15}$/;

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
        .regex(ACCOUNT_ID, { error: "Must be the id of a provider account" })
        .openapi({
          param: { name: "account_id", in: "path" },
          description: "The account at the provider",
          example: "sandbox_1",
        }),
    }),
  },
  responses: { 204: { description: "It was taken, or is about nothing that the service knows" } },
  problems: ["notification_not_signed", "provider_account_not_found", "unavailable"],
});

registerRoute(
  notifications,
  receiveProviderNotificationRoute,
  async (c, { params }) => {
    const accountId = params.account_id;
    const merchantId = allowsSandbox(c.env) ? readSandboxAccountId(accountId) : null;
    if (merchantId === null) return problem(c, "provider_account_not_found");
    const body = await readText(c);
    if (body instanceof Response) return body;
    const connection = await sandboxConnection(c.env, merchantId, null);
    const notified = await sandbox.readNotification(connection, {
      url: c.req.url,
      headers: c.req.raw.headers,
      body,
      now: Date.now(),
    });
    if (notified.tag === "unsigned") return problem(c, "notification_not_signed");
    if (notified.tag === "notified") await take(c, { accountId, merchantId }, notified);
    return answer(c, 204, null, {});
  },
  { hasRawBody: true },
);

interface Account {
  readonly accountId: string;
  readonly merchantId: number;
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
  { id, reference, paymentId }: Extract<Notified, { tag: "notified" }>,
): Promise<void> {
  const db = c.get("db");
  if (id !== null && (await isRecorded(db, account, id))) return;
  if (paymentId !== null) {
    // What it is about is found by asking: the object does so after this answer, by its alarm.
    const name = objectName({ merchantId: account.merchantId, id: paymentId });
    await withRetries(() => c.env.PAYMENT.getByName(name).wake(), classifyObjectError);
  }
  await record(db, account, id, reference, paymentId);
  const fields = { request_id: c.get("requestId"), account_id: account.accountId };
  logInfo({ message: "provider notification", ...fields, payment_id: paymentId ?? undefined });
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
  const isUnknown = sql`NOT EXISTS (SELECT 1 FROM payments WHERE id = ${paymentId} AND merchant_id = ${merchantId})`;
  await db.batch<[never, never]>([
    id === null
      ? null
      : sql`INSERT INTO provider_notifications (account_id, id, created_at) VALUES (${accountId}, ${id}, ${time})
        ON CONFLICT DO NOTHING`,
    sql`INSERT INTO reconciliation_items (merchant_id, payment_id, kind, reference, detail, created_at)
      SELECT id, 0, 'unknown_payment', ${reference}, 'The provider tells of a payment that is not known here', ${time}
      FROM merchants WHERE id = ${merchantId} AND ${isUnknown}
      ON CONFLICT DO NOTHING`,
  ]);
}
