/** The columns of D1 that hold sealed texts, and where each text is sealed. What is not in this table is not sealed anew. */
import type { SealedPlace } from "../auth/seal";
import { requestPlace } from "../operation/journal/journal";
import { paymentMethodPlace } from "../payment/create";
import { type SecretColumn, secretPlace } from "../provider/accounts/connection";
import { raw, type Sql } from "../storage/sql";
import { endpointSecretPlace } from "../webhook/signature";

export type Value = string | number;
export type Row = Readonly<Record<string, Value | null>>;

/** What was read of a row, by column; a value of another type than the column's is a bug. */
interface Fields {
  readonly value: (column: string) => Value;
  readonly number: (column: string) => number;
  readonly text: (column: string) => string;
}

export function fieldsOf(row: Row): Fields {
  const value = (column: string): Value => {
    const found = row[column];
    if (found == null) throw new Error(`A row was read without ${column}`);
    return found;
  };
  return { value, number: (column) => Number(value(column)), text: (column) => String(value(column)) };
}

export interface SealedColumn {
  readonly table: string;
  readonly column: string;
  /** The columns that name a row. */
  readonly key: readonly string[];
  /** The columns in whose order rows are read, which name a row too, and are no NULL. */
  readonly order: readonly string[];
  /** Beside the key, what a place is made of: columns, or other SQL on the row, with its name. */
  readonly beside: Sql;
  /** The rows that may have a text, as what follows the table's name: no others are read. */
  readonly rows: Sql;
  readonly place: (row: Fields) => SealedPlace;
}

const accounts = (column: SecretColumn): SealedColumn => ({
  table: "provider_accounts",
  column,
  key: ["id"],
  order: ["id"],
  beside: raw("merchant_id"),
  rows: raw(`WHERE ${column} IS NOT NULL`),
  place: ({ number }) => secretPlace(number("merchant_id"), number("id"), column),
});

/** In the order of the walk: a roll moves a webhook endpoint's secret to a column that comes later. */
export const SEALED_COLUMNS: readonly SealedColumn[] = [
  {
    table: "webhook_endpoints",
    column: "secret",
    key: ["id"],
    order: ["id"],
    beside: raw("merchant_id"),
    rows: raw("WHERE secret IS NOT NULL"),
    place: ({ number }) => endpointSecretPlace(number("merchant_id"), number("id")),
  },
  {
    table: "webhook_endpoints",
    column: "previous_secret",
    key: ["id"],
    order: ["previous_secret_ends_at", "id"],
    beside: raw("merchant_id"),
    rows: raw("INDEXED BY webhook_endpoints_rolled WHERE previous_secret_ends_at IS NOT NULL"),
    place: ({ number }) => endpointSecretPlace(number("merchant_id"), number("id")),
  },
  accounts("api_key"),
  accounts("webhook_secret"),
  {
    table: "operations",
    column: "request",
    key: ["merchant_id", "payment_id", "number"],
    order: ["due_at", "merchant_id", "payment_id", "number"],
    beside: raw("coalesce(nonce, '') AS nonce"),
    // A settled one has no request, and is not due.
    rows: raw("INDEXED BY operations_due WHERE due_at IS NOT NULL AND request IS NOT NULL"),
    place: ({ number, text }) => requestPlace(number("merchant_id"), number("payment_id"), text("nonce")),
  },
  {
    table: "payments",
    column: "payment_method",
    key: ["id"],
    order: ["id"],
    beside: raw(`merchant_id, coalesce((SELECT commit_id FROM events WHERE events.merchant_id = payments.merchant_id
      AND position = event_positions ->> '$[0]'), '') AS created_by`),
    rows: raw("INDEXED BY payments_with_method WHERE payment_method IS NOT NULL"),
    place: ({ number, text }) => paymentMethodPlace(number("merchant_id"), text("created_by")),
  },
];
