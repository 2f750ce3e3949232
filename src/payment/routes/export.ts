/** Payments as CSV (RFC 4180): a page, or all that match, streamed. */
import type { Context } from "hono";
import { accepts } from "hono/accepts";
import type { App } from "../../context";
import { answer } from "../../http/answer";
import type { Page, Window } from "../../http/pages";
import { logError, logInfo } from "../../storage/log";
import type { Payment } from "../payment";
import { toPaymentResponse } from "../response";
import { type Filters, searchPayments } from "../search";
import { PaymentSchema } from "./payment-schemas";

/** What an answer depends on, beside its address: for caches, should one ever be allowed to keep it. */
export const VARY = { Vary: "Accept" };

export const CSV = "text/csv; charset=utf-8";

/** Payments read at once for a file, and looked at for each of them as in any other list. */
const EXPORT_PAGE_SIZE = 500;

export function wantsCsv(c: Context<App>): boolean {
  const [byDefault, csv] = ["application/json", "text/csv"];
  return accepts(c, { header: "Accept", supports: [byDefault, csv], default: byDefault }) === csv;
}

/** One page as a file. */
export function exportPage(c: Context<App>, payments: readonly Payment[], headers: Record<string, string>): Response {
  return csv(c, HEAD + payments.map(line).join(""), headers);
}

/** A file of all that match, read as fast as the client takes it. What fails then, breaks the transfer off. */
export function exportAll(c: Context<App>, filters: Filters): Response {
  const encoder = new TextEncoder();
  const pages = readPages(c, filters);
  let isWanted = true;
  const started = Date.now();
  // The request's own line is written when the answer begins: most of the work comes after it.
  const log = (end: "complete" | "cancelled" | "broken off") => {
    const { trips, rowsRead } = c.get("db").cost;
    const cost = { duration_ms: Date.now() - started, d1_trips: trips, d1_rows_read: rowsRead };
    logInfo({ message: "export", request_id: c.get("requestId"), end, ...cost });
  };
  const body = new ReadableStream<Uint8Array>({
    start: (file) => file.enqueue(encoder.encode(HEAD)),
    cancel: () => {
      isWanted = false;
      log("cancelled");
    },
    async pull(file) {
      try {
        const { done, value } = await pages.next();
        if (!isWanted) return;
        if (done) {
          log("complete");
          file.close();
        } else file.enqueue(encoder.encode(value.map(line).join("")));
      } catch (error) {
        log("broken off");
        // The answer has begun, so that nobody but the log can be told.
        const { stack, cause } = error instanceof Error ? error : new Error(String(error));
        const message = "export broken off";
        logError({ message, request_id: c.get("requestId"), error: stack, cause: String(cause) });
        throw error;
      }
    },
  });
  return csv(c, body, {});
}

/** All payments that match, page by page. */
async function* readPages(c: Context<App>, filters: Filters): AsyncGenerator<readonly Payment[], void> {
  const [db, { merchantId }] = [c.get("db"), c.get("principal")];
  let window: Window | null = { position: null, backward: false, limit: EXPORT_PAGE_SIZE };
  while (window !== null) {
    const { rows, older }: Page<Payment> = await searchPayments(db, merchantId, filters, window);
    // A page may be empty in the middle of the list.
    if (rows.length > 0) yield rows;
    window = older && { ...window, position: older };
  }
}

function csv(c: Context<App>, body: BodyInit, headers: Record<string, string>): Response {
  const disposition = 'attachment; filename="payments.csv"';
  return answer(c, 200, body, { "Content-Type": CSV, "Content-Disposition": disposition, ...VARY, ...headers });
}

const FIELDS = Object.keys(PaymentSchema.shape) as (keyof ReturnType<typeof toPaymentResponse>)[];
const HEAD = `${FIELDS.join(",")}\r\n`;

/** A line of the file (RFC 4180). No field begins with what a spreadsheet takes for a formula. */
function line(payment: Payment): string {
  const shown = toPaymentResponse(payment);
  const texts = FIELDS.map((field) => (field === "metadata" ? payment.metadata : String(shown[field])));
  return `${texts.map((text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(",")}\r\n`;
}
