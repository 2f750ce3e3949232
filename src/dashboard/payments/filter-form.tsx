/** What stands above the list of payments: the search, and the filters. */
import { STATUSES } from "../../payment/lifecycle";
import { words } from "../format";
import { filtersOf, hasRare, PAYMENTS_PATH } from "./filters";

/** As many pairs as the API takes. */
const MAX_PAIRS = 5;
const LIMITS = ["20", "50", "100"];

export function SearchForm({ text }: { text: string }) {
  return (
    <search>
      <form class="search" method="get" action={PAYMENTS_PATH}>
        <input
          type="search"
          name="q"
          value={text}
          maxlength={600}
          aria-label="Search payments"
          placeholder="Payment, order, reference, or name:value of metadata"
          autocomplete="off"
          spellcheck={false}
        />
        <button type="submit">Search</button>
      </form>
    </search>
  );
}

export function FilterForm({ query }: { query: URLSearchParams }) {
  const filters = filtersOf(query);
  const first = (name: Parameters<typeof filters.get>[0]) => filters.get(name)?.[0] ?? "";
  const statuses = filters.get("status")?.flatMap((text) => text.split(",")) ?? [];
  const pairs = filters.get("metadata") ?? [];
  return (
    <form class="card stacked filter-form" method="get" action={PAYMENTS_PATH} aria-label="Filters">
      <fieldset class="chips">
        <legend class="visually-hidden">Status</legend>
        {STATUSES.map((status) => (
          <label class="chip">
            <input type="checkbox" name="status" value={status} checked={statuses.includes(status)} />
            {words(status)}
          </label>
        ))}
      </fieldset>
      <div class="filters">
        <Day name="created_from" text="From (UTC)" value={first("created_from")} />
        <Day name="created_to" text="To (UTC)" value={first("created_to")} />
        <Field name="currency" text="Currency" value={first("currency")} placeholder="USD" maxlength={3} />
        <Field name="reference" text="Reference" value={first("reference")} maxlength={255} />
      </div>
      <details open={hasRare(query)}>
        <summary>More filters</summary>
        <div class="filters">
          <Field name="order_id" text="Order id" value={first("order_id")} inputmode="numeric" />
          <Field name="amount_min" text="Amount from" value={first("amount_min")} inputmode="decimal" />
          <Field name="amount_max" text="Amount to" value={first("amount_max")} inputmode="decimal" />
          <Field
            name="provider_reference"
            text="Provider reference"
            value={first("provider_reference")}
            maxlength={255}
          />
          {[...pairs, ""].slice(0, MAX_PAIRS).map((pair, n) => (
            <Field
              name="metadata"
              text={n === 0 ? "Metadata" : `Metadata, pair ${n + 1}`}
              value={pair}
              placeholder="name=value"
            />
          ))}
          <label>
            Payments per page
            <select name="limit">
              {LIMITS.map((limit) => (
                <option selected={query.get("limit") === limit}>{limit}</option>
              ))}
            </select>
          </label>
        </div>
        <p class="hint">Amounts are of a currency: fill that in, too.</p>
      </details>
      <div class="actions">
        <button type="submit" class="quiet">
          Apply filters
        </button>
        {filters.size > 0 && <a href={PAYMENTS_PATH}>Clear all filters</a>}
      </div>
    </form>
  );
}

interface FieldProps {
  readonly name: string;
  readonly text: string;
  readonly value: string;
  readonly placeholder?: string;
  readonly maxlength?: number;
  readonly inputmode?: "decimal" | "numeric";
}

function Field({ name, text, ...rest }: FieldProps) {
  return (
    <label>
      {text}
      <input name={name} autocomplete="off" spellcheck={false} {...rest} />
    </label>
  );
}

/** A day; a time that came with the address stays one. */
function Day({ name, text, value }: { name: string; text: string; value: string }) {
  return (
    <label>
      {text}
      <input name={name} type={value === "" || /^\d{4}-\d\d-\d\d$/.test(value) ? "date" : "text"} value={value} />
    </label>
  );
}
