/** Payments as CSV (RFC 4180): a page, or all that match, streamed. */
import type { Context } from "hono";
import { type Lease, takeLease } from "../../auth/leases";
import type { App } from "../../context";
import { answer } from "../../http/answer";
import { csvLine, fileHeaders, nextCursor, nextCursorHeader } from "../../http/files/csv";
import { type Page, type Position, toPageResponse } from "../../http/pages";
import { logError, logInfo } from "../../storage/log";
import type { Payment } from "../payment";
import { toPaymentResponse } from "../response";
import { type Filters, findScanEnd, positionOf, searchPayments } from "../search";
import { PaymentSchema } from "./payment-schemas";

/** In the API document. */
export const NEXT_CURSOR = nextCursorHeader("payments", "WyJwYXltZW50cyIsIm9sZGVyIiwxNzk1NTgyNjgxODEzLDJd");

/** Payments read at once for a file, and looked at for each of them as in any other list. */
const EXPORT_PAGE_SIZE = 500;
/** What they take of the isolate's memory at most, which others share. */
const MAX_EXPORT_PAGE_BYTES = 1_000_000;
/** A client that has not begun to read after so long is taken for gone, in milliseconds. */
const FIRST_READ_WITHIN_MS = 10_000;
/**
 * Payments that one file goes through, whether they match or not: some hundred round trips, of the thousand that an
 * invocation may make. The next file goes on from there.
 */
const MAX_PAYMENTS_PER_EXPORT = 50_000;

/** One page as a file, with the links that it has as a list. */
export function exportPage(
  c: Context<App>,
  payments: readonly Payment[],
  headers: Record<string, string>,
  cursor: string | null,
): Response {
  return csv(c, HEAD + payments.map(line).join(""), { ...headers, ...nextCursor(cursor) });
}

/**
 * A file of all that match among the next 50,000 payments, read as fast as the client takes it; `Link` and `Next-Cursor`
 * lead to the rest. What fails after it has begun breaks the transfer off. It takes one of the merchant's two leases.
 */
export async function exportAll(c: Context<App>, filters: Filters, position: Position | null): Promise<Response> {
  if (c.req.raw.method === "HEAD") return csv(c, null, {});
  // A client that goes away before it reads anything leaves the lease to its end.
  const lease = await takeLease(c, FIRST_READ_WITHIN_MS);
  if (lease instanceof Response) return lease;
  const started = Date.now();
  try {
    const whole: ExportFile = { filters, started, end: null, lease };
    const first = await readPage(c, whole, position);
    if (first.older === null) {
      log(c, whole, "complete");
      await lease.release();
      return exportPage(c, first.rows, {}, null);
    }
    const file = { ...whole, end: await findExportEnd(c, filters, position) };
    return csv(c, stream(c, file, first), file.end ? linksTo(c, file.end) : {});
  } catch (error) {
    await lease.release();
    throw error;
  }
}

interface ExportFile {
  readonly filters: Filters;
  readonly started: number;
  /** The last payment that it goes through; null when that is the last of all. */
  readonly end: Position | null;
  readonly lease: Lease;
}

function findExportEnd(c: Context<App>, filters: Filters, position: Position | null): Promise<Position | null> {
  const window = { position, backward: false, limit: MAX_PAYMENTS_PER_EXPORT };
  return findScanEnd(c.get("db"), c.get("principal").merchantId, filters, window, MAX_PAYMENTS_PER_EXPORT);
}

/** The payments of the file from a position on, and where the next ones begin. */
async function readPage(
  c: Context<App>,
  { filters, end }: ExportFile,
  position: Position | null,
): Promise<Page<Payment>> {
  const window = { position, backward: false, limit: EXPORT_PAGE_SIZE };
  const { merchantId } = c.get("principal");
  const page = await searchPayments(c.get("db"), merchantId, filters, window, MAX_EXPORT_PAGE_BYTES);
  if (end === null) return page;
  const isWithin = (at: Position) => at.at > end.at || (at.at === end.at && Number(at.id) >= Number(end.id));
  const rows = page.rows.filter((payment) => isWithin(positionOf(payment)));
  const isLast = page.older === null || !isWithin(page.older) || isSame(page.older, end);
  return { ...page, rows, older: isLast ? null : page.older };
}

const isSame = (one: Position, other: Position) => one.at === other.at && one.id === other.id;

function stream(c: Context<App>, file: ExportFile, first: Page<Payment>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  /** What is read and not yet written, or else where to read on. */
  let page: Page<Payment> | null = first;
  let position = first.older;
  let hasEnded = false;
  const end = (how: ExportEnd) => {
    hasEnded = true;
    log(c, file, how);
    c.executionCtx.waitUntil(file.lease.release());
  };
  return new ReadableStream<Uint8Array>({
    start: (out) => out.enqueue(encoder.encode(HEAD)),
    cancel: () => end("cancelled"),
    async pull(out) {
      try {
        let written = 0;
        // A page may be empty in the middle of the list.
        while (written === 0 && !hasEnded) {
          if (!(await file.lease.renew())) throw new Error("The lease of the export has ended");
          const { rows, older } = page ?? (await readPage(c, file, position));
          // The client may have gone meanwhile.
          if (hasEnded) return;
          [page, position, written] = [null, older, rows.length];
          if (written > 0) out.enqueue(encoder.encode(rows.map(line).join("")));
          if (older !== null) continue;
          end("complete");
          out.close();
        }
      } catch (error) {
        if (hasEnded) return;
        end("broken off");
        // The answer has begun, so that only the log can say why.
        const { stack, cause } = error instanceof Error ? error : new Error(String(error));
        const message = "export broken off";
        logError({ message, request_id: c.get("requestId"), error: stack, cause: String(cause) });
        throw error;
      }
    },
  });
}

type ExportEnd = "complete" | "cancelled" | "broken off";

/** One line when the file has ended. The request's own is written when the answer begins: most of the work comes after it. */
function log(c: Context<App>, { started }: ExportFile, end: ExportEnd): void {
  const { trips, rowsRead } = c.get("db").cost;
  const cost = { duration_ms: Date.now() - started, d1_trips: trips, d1_rows_read: rowsRead };
  logInfo({ message: "export", request_id: c.get("requestId"), end, ...cost });
}

/** The headers that lead to the payments after a position. */
function linksTo(c: Context<App>, older: Position): Record<string, string> {
  const { body, headers } = toPageResponse(c.req.url, { rows: [], older, newer: null }, toPaymentResponse);
  return { ...headers, ...nextCursor(body.next_cursor) };
}

function csv(c: Context<App>, body: BodyInit | null, headers: Record<string, string>): Response {
  return answer(c, 200, body, { ...fileHeaders("payments"), ...headers });
}

const FIELDS = Object.keys(PaymentSchema.shape) as (keyof ReturnType<typeof toPaymentResponse>)[];
const HEAD = `${FIELDS.join(",")}\r\n`;

function line(payment: Payment): string {
  const shown = toPaymentResponse(payment);
  return csvLine(FIELDS.map((field) => shown[field]));
}
