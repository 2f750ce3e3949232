/**
 * Mollie's notifications. They are not signed and say no more than a payment's name: each payment has a URL of its own with a MAC, so
 * that nobody can have a payment looked at who was not told its URL.
 */
import { hmacSha256, isEqual } from "../mac";
import type { Connection, NotificationRequest, Notified, ProviderOperation } from "../seam";

/** The service's secrets for notifications, the newest first: `notifications_0`, `notifications_1`… */
function secretsOf({ secrets }: Connection): string[] {
  const found: string[] = [];
  for (let age = 0; ; age++) {
    const secret = secrets[`notifications_${age}`];
    if (secret === undefined) return found;
    found.push(secret);
  }
}

const macOf = (secret: string, accountId: string, paymentId: string) => hmacSha256(secret, `${accountId}|${paymentId}`);

/** Hosts that nobody reaches from elsewhere. */
const LOOPBACK = /^(?:localhost|.*\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
const isLoopback = (origin: string): boolean => !URL.canParse(origin) || LOOPBACK.test(new URL(origin).hostname);

/**
 * Where Mollie notifies of a payment; undefined where it could not: it refuses a payment with a URL that it does not reach, and one without
 * is looked after by asking.
 */
export async function notificationUrl(
  connection: Connection,
  { payment, request }: ProviderOperation,
): Promise<string | undefined> {
  const { accountId, apiOrigin } = connection;
  const [secret] = secretsOf(connection);
  const origin = request.serviceOrigin;
  if (secret === undefined || origin === undefined || (isLoopback(origin) && !isLoopback(apiOrigin))) return undefined;
  const mac = await macOf(secret, accountId, String(payment.id));
  return `${origin}/api/v1/provider-notifications/${accountId}?payment=${payment.id}&mac=${mac}`;
}

const REFERENCE = /^tr_[A-Za-z0-9]{1,100}$/;

/**
 * Reads a notification: `?payment=<id>&mac=<hex>` in its URL, and the form `id=tr_…`. The MAC covers the service's own name for the
 * payment, since Mollie's is not known when the URL is made: what is looked at is the payment of the URL.
 */
export async function readNotification(connection: Connection, { url, body }: NotificationRequest): Promise<Notified> {
  const { searchParams } = new URL(url);
  const [payment = "", ...otherPayments] = searchParams.getAll("payment");
  const [mac = "", ...otherMacs] = searchParams.getAll("mac");
  const [reference = "", ...otherReferences] = new URLSearchParams(body).getAll("id");
  const isOne = otherPayments.length + otherMacs.length + otherReferences.length === 0;
  const isNamed = /^[1-9]\d{0,15}$/.test(payment) && Number.isSafeInteger(Number(payment));
  const macs = await Promise.all(secretsOf(connection).map((secret) => macOf(secret, connection.accountId, payment)));
  // Each is compared, so that the time says nothing of which one was right.
  const isSigned = macs.map((expected) => isEqual(mac, expected)).includes(true);
  if (!isOne || !isNamed || !isSigned || !REFERENCE.test(reference)) return { tag: "unsigned" };
  return { tag: "notified", id: null, reference, paymentId: Number(payment) };
}
