/** Searching: one text that may be a payment, an order, a reference, the provider's reference, or a pair of metadata. */
import { getPaymentRoute } from "../../operation/routes/payment";
import type { PaymentResponse } from "../../payment/response";
import { listPaymentsRoute } from "../../payment/routes/list";
import type { Problem } from "../api";
import type { Visit } from "../visit";
import { PAYMENTS_PATH } from "./filters";

/** What the text was taken for, with what there is of it. */
interface Match {
  readonly what: string;
  readonly payments: readonly PaymentResponse[];
  /** Where all of them are, when these are not all. */
  readonly more: string | null;
}

export interface Searched {
  readonly matches: readonly Match[];
  /** Why something could not be looked for; null when everything was. */
  readonly refused: Problem | null;
}

const MAX_REFERENCE_LENGTH = 255;

/** The payment that a text names: its id, also as `#12`, or the id of one of its events or refunds. */
function readPaymentId(text: string): string | null {
  return /^(?:#?|(?:evt|re)_(?=\d+_\d+$))([1-9]\d{0,15})(?:_\d+)?$/.exec(text)?.[1] ?? null;
}

/** What providers call a payment: a short word, and what no other has. */
const PROVIDER_REFERENCE = /^[a-z]{2,5}_[0-9A-Za-z_]{6,240}$/;
/** No index has the names of providers: a page of this size is looked for among the merchant's newest 1,000 payments. */
const PROVIDER_REFERENCE_LIMIT = "100";

/** The filters that a text may stand for. */
function readingsOf(text: string): { readonly what: string; readonly query: Readonly<Record<string, string>> }[] {
  const pair = /^([^:=]{1,40})[:=]\s*(.*)$/su.exec(text);
  const [, name = "", value = ""] = pair ?? [];
  return [
    ...(/^[1-9]\d{0,15}$/.test(text) ? [{ what: `order ${text}`, query: { order_id: text } }] : []),
    ...([...text].length <= MAX_REFERENCE_LENGTH ? [{ what: "the reference", query: { reference: text } }] : []),
    ...(PROVIDER_REFERENCE.test(text)
      ? [
          {
            what: "the provider's reference",
            query: { provider_reference: text, limit: PROVIDER_REFERENCE_LIMIT },
          },
        ]
      : []),
    ...(pair ? [{ what: `metadata ${name.trim()}`, query: { metadata: `${name.trim()}=${value}` } }] : []),
  ];
}

/** Looks for everything that a text may be, in one round trip. */
export async function search({ api }: Visit, text: string): Promise<Searched> {
  const id = readPaymentId(text);
  const readings = readingsOf(text);
  const [payment, lists] = await Promise.all([
    id === null ? null : api.call(getPaymentRoute, { params: { payment_id: id } }),
    Promise.all(readings.map(({ query }) => api.call(listPaymentsRoute, { query }))),
  ]);
  const matches: Match[] = [];
  if (payment?.tag === "ok") matches.push({ what: `payment ${id}`, payments: [payment.data], more: null });
  let refused: Problem | null = null;
  for (const [n, list] of lists.entries()) {
    const { what, query } = readings[n] ?? { what: "", query: {} };
    // What no payment can have is not found; what could not be asked is said.
    if (list.tag === "problem") {
      if (list.problem.status !== 422) refused = list.problem;
      continue;
    }
    const { data, has_more } = list.data;
    if (data.length === 0 && !has_more) continue;
    const more = has_more ? `${PAYMENTS_PATH}?${new URLSearchParams(query)}` : null;
    matches.push({ what, payments: data, more });
  }
  return { matches, refused };
}

/** The one payment that was found, however often; null when there are others, or none. */
export function onlyOne({ matches }: Searched): number | null {
  const ids = new Set(matches.flatMap(({ payments }) => payments.map(({ id }) => id)));
  const [id] = ids;
  return id !== undefined && ids.size === 1 && matches.every(({ more }) => more === null) ? id : null;
}
