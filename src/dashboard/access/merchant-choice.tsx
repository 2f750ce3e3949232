/** Whose keys and whose trail an administrator looks at. */
import { listMerchantsRoute } from "../../account/routes/merchants";
import { ADMINISTRATOR_MERCHANT } from "../../context";
import type { Answer } from "../api";
import { may, type Visit } from "../visit";

type Merchants = Answer<typeof listMerchantsRoute>["data"];

/** As many as one page of the list has: an older merchant is named by its id. */
const MAX_SUGGESTED = "100";

export interface Chosen {
  /** The merchant that is meant, as the query names it; undefined for the visitor's own. */
  readonly merchantId: string | undefined;
  /** Whether there is anybody to look at: the administrator's key, which is no merchant's, has to name one. */
  readonly isKnown: boolean;
}

/** Which merchant a page is about. A key without `admin` sees its own, whatever the address says. */
export function chosenMerchant(visit: Visit, query: URLSearchParams): Chosen {
  const named = may(visit, "admin") ? query.get("merchant_id") || undefined : undefined;
  return { merchantId: named, isKnown: named !== undefined || visit.principal.merchantId !== ADMINISTRATOR_MERCHANT };
}

/** The merchants that an administrator may choose from; none for anybody else. One round trip with what is asked beside it. */
export async function merchantsFor(visit: Visit): Promise<Merchants> {
  if (!may(visit, "admin")) return [];
  const listed = await visit.api.call(listMerchantsRoute, { query: { limit: MAX_SUGGESTED } });
  return listed.tag === "ok" ? listed.data.data : [];
}

/** A field for a merchant's id, which suggests the newest merchants by their names. */
export function MerchantField({ merchants, value }: { merchants: Merchants; value: string }) {
  return (
    <label>
      Merchant
      <input name="merchant_id" value={value} required inputmode="numeric" list="merchants" autocomplete="off" />
      <datalist id="merchants">
        {merchants.map(({ id, name }) => (
          <option value={String(id)}>{name}</option>
        ))}
      </datalist>
    </label>
  );
}

/** Chooses the merchant of a page; nothing for who has no choice. */
export function MerchantChoice(props: { visit: Visit; path: string; merchants: Merchants; chosen: Chosen }) {
  const { visit, path, merchants, chosen } = props;
  if (!may(visit, "admin")) return null;
  const own = visit.principal.merchantId;
  const shown = chosen.merchantId ?? (own === ADMINISTRATOR_MERCHANT ? "" : String(own));
  const name = merchants.find(({ id }) => String(id) === shown)?.name;
  return (
    <form class="card choice-bar" method="get" action={path}>
      <MerchantField merchants={merchants} value={shown} />
      <button type="submit" class="quiet">
        Show
      </button>
      {name !== undefined && (
        <p>
          <a href={`/dashboard/merchants/${shown}`}>{name}</a>
        </p>
      )}
    </form>
  );
}

/** What stands there until an administrator has chosen. */
export function ChooseFirst({ what }: { what: string }) {
  return (
    <div class="card empty">
      <h2>Choose a merchant</h2>
      <p>
        The administrator's key is no merchant's. Type a merchant's id above to see {what}, or find it in the{" "}
        <a href="/dashboard/merchants">list of merchants</a>.
      </p>
    </div>
  );
}

/** A path with the merchant that is meant. */
export const withMerchant = (path: string, merchantId: string | number | undefined): string =>
  merchantId === undefined ? path : `${path}?${new URLSearchParams({ merchant_id: String(merchantId) })}`;
