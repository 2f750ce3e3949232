/** Payments as files: how tests ask for them and read them. */
import { expect } from "vitest";
import type { Client } from "./client";
import { pathOf, type Query } from "./payment-list";

export const HEAD =
  "id,order_id,reference,single,amount,amount_captured,amount_refunded,amount_refundable,currency,status,failure,next_action,provider,provider_account,provider_reference,capture_method,return_url,description,expires_at,created_at,updated_at,metadata";
export const CSV = "text/csv; charset=utf-8";

export async function exported(api: Client, query: Query = {}, accept = "text/csv"): Promise<string> {
  const { status, headers, body } = await api.request("GET", pathOf(query), { headers: { Accept: accept } });
  expect([status, headers.get("Content-Type")]).toEqual([200, CSV]);
  expect(headers.get("Content-Disposition")).toBe('attachment; filename="payments.csv"');
  return String(body);
}

/** Reads RFC 4180: lines end with CRLF, a quoted field may have commas, quotes and line breaks. */
export function parse(file: string): string[][] {
  const records: string[][] = [];
  let rest = file;
  while (rest !== "") {
    const record: string[] = [];
    for (let end = ","; end === ","; ) {
      const [whole, quoted, plain = "", after = ""] = /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/.exec(rest) ?? [];
      if (whole === undefined) throw new Error(`No record of RFC 4180: ${rest.slice(0, 80)}`);
      record.push(quoted?.replaceAll('""', '"') ?? plain);
      rest = rest.slice(whole.length);
      end = after;
    }
    records.push(record);
  }
  return records;
}
