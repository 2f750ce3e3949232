/** What running at a provider needs, made of the bindings that an object has. */
import { open, type SealedPlace, seal, whyNotOpened } from "../auth/seal";
import { secretsKeys } from "../auth/secret-keys";
import type { Origin } from "../context";
import { queueEndpoints } from "../outbox/outbox";
import { paymentMethodPlace } from "../payment/create";
import { accountConnection } from "../provider/accounts/connection";
import {
  ACCOUNT_PROVIDERS,
  allowsSandbox,
  isProvider,
  PROVIDER_NAMES,
  PROVIDERS,
  type ProviderName,
  sandboxConnection,
} from "../provider/providers";
import type { Connection, OperationRequest } from "../provider/seam";
import type { Database } from "../storage/database";
import { Outage } from "../storage/outage";
import type { Desk } from "./desk";
import type { Book, OperationRow } from "./journal/book";
import { requestPlace } from "./journal/journal";
import { type Counter, type Fault, KINDS, requestOf } from "./provider-action";
import { type ActionRequest, applyAction } from "./run-action";

/**
 * The counter of a payment.
 *
 * @param setAlarm has the object woken at a time at the latest
 */
export function counterOf(
  env: Env,
  db: Database,
  origin: Origin,
  paymentId: number,
  request: ActionRequest | null,
  setAlarm: (at: number) => Promise<void>,
): Counter {
  const { merchantId, requestId } = origin;
  const secrets = secretsKeys(env);
  const opened = async (sealed: string, place: SealedPlace): Promise<string> => {
    const result = await open(sealed, place, secrets);
    // An operator can mend it, and then what is open goes on.
    if (result.tag !== "opened") throw new Outage(`Not opened, ${place.field}: ${whyNotOpened(result)}`);
    return result.text;
  };
  /** What a payment's creation has said serves where the request of its confirmation says nothing. */
  const openRequest = async (row: OperationRow, { payment, paymentMethod }: Book): Promise<OperationRequest> => {
    if (row.request === null || row.nonce === null) throw new Error("Nothing was asked for by this operation");
    const own: OperationRequest = JSON.parse(await opened(row.request, requestPlace(merchantId, paymentId, row.nonce)));
    if (row.kind !== "authorize") return own;
    const method =
      own.paymentMethod === undefined && paymentMethod !== null
        ? { paymentMethod: await opened(paymentMethod.sealed, paymentMethodPlace(merchantId, paymentMethod.commitId)) }
        : {};
    return {
      ...(payment.return_url !== null && { returnUrl: payment.return_url }),
      ...(payment.description !== null && { description: payment.description }),
      ...method,
      ...own,
    };
  };
  const deskOf = async ({ payment: { provider }, account }: Book): Promise<Desk | null> => {
    const adapter = isProvider(provider) ? PROVIDERS[provider] : null;
    if (adapter === null) return null;
    const serviceOrigin = request?.serviceOrigin ?? null;
    return {
      db,
      adapter,
      connection: await connectionOf(env, merchantId, provider, account, serviceOrigin),
      openRequest,
      enqueue: async (deliveries) => {
        const endpoint_ids = [...new Set(deliveries.map(({ endpoint_id }) => endpoint_id))];
        if (endpoint_ids.length === 0) return;
        await queueEndpoints(env.DELIVERIES, { merchant_id: merchantId, endpoint_ids }, { request_id: requestId });
      },
      now: () => Date.now(),
      newCommitId: () => crypto.randomUUID(),
    };
  };
  return {
    db,
    deskOf,
    sealRequest: (nonce, sent) => seal(JSON.stringify(sent), requestPlace(merchantId, paymentId, nonce), secrets),
    setAlarm,
    newNonce: () => crypto.randomUUID(),
    judge: (asked) => new Map(PROVIDER_NAMES.map((name) => [name, faultOf(env, name, asked)])),
    applyHere: () => {
      if (request === null) throw new Error("Nothing was asked for");
      return applyAction(db, origin, paymentId, request, true);
    },
  };
}

/** What a provider does not take of a request, or null. */
function faultOf(env: Env, provider: ProviderName, request: ActionRequest): Fault | null {
  const { paymentMethod, returnUrl, action } = request;
  const adapter = PROVIDERS[provider];
  if (adapter === null) {
    const field = paymentMethod != null ? "payment_method" : returnUrl != null ? "return_url" : null;
    return field && { field, detail: `The provider ${provider} settles at once, and takes no ${field}` };
  }
  if (provider === "sandbox" && !allowsSandbox(env))
    return { field: "provider", detail: "The sandbox is not allowed here" };
  const kind = KINDS[action];
  const fault = kind && adapter.check?.(kind, requestOf(request));
  if (!fault) return null;
  const given = { payment_method: paymentMethod, return_url: returnUrl, reason: "" }[fault.field];
  return given == null && fault.field !== "reason" ? { ...fault, missing: fault.field } : fault;
}

/** The way to a payment's provider. */
async function connectionOf(
  env: Env,
  merchantId: number,
  provider: string,
  account: Book["account"],
  serviceOrigin: string | null,
): Promise<Connection> {
  const adapter = ACCOUNT_PROVIDERS[provider];
  if (adapter === undefined) return sandboxConnection(env, merchantId, serviceOrigin);
  if (account === null) throw new Error(`A payment at ${provider} has no account there`);
  return accountConnection(env, account, adapter);
}
