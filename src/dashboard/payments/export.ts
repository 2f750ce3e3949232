/** The list of payments as a file for spreadsheets: the API's own, readable to Excel, and saying so when it is not all. */
import { answer } from "../../http/answer";
import { listPaymentsRoute } from "../../payment/routes/list";
import { readProblem } from "../api";
import { failed, newDashboardApp, view } from "../view";
import { apiQuery, PAYMENTS_PATH, pathWith } from "./filters";

export const paymentExport = newDashboardApp();

const PATH = `${PAYMENTS_PATH}.csv`;
/** By it, Excel reads UTF-8 as what it is. */
const BYTE_ORDER_MARK = "\ufeff";

view(paymentExport, PATH, { scopes: ["payments:read"] }, async (visit, { query }) => {
  const { api, c } = visit;
  const cursor = query.get("cursor") ?? undefined;
  const response = await api.send(listPaymentsRoute, {
    query: { ...apiQuery(query), cursor },
    headers: { Accept: "text/csv" },
  });
  if (!response.ok) return failed(await readProblem(response), "Payments");
  const next = response.headers.get("Next-Cursor");
  const part = Number(/^[1-9]\d{0,5}$/.exec(query.get("part") ?? "")?.[0] ?? 1);
  const nextPath = next === null ? null : pathWith(PATH, query, { cursor: next, part: String(part + 1) });
  // Nobody sees the headers of a download: where a file is a part, its name and its last line say so.
  const isPart = nextPath !== null || part > 1;
  const end = nextPath === null ? "" : `More payments: ${new URL(nextPath, c.req.url)}\r\n`;
  return answer(c, 200, response.body?.pipeThrough(around(BYTE_ORDER_MARK, end)) ?? null, {
    "Content-Type": response.headers.get("Content-Type") ?? "text/csv",
    "Content-Disposition": `attachment; filename="payments${isPart ? `-part-${part}` : ""}.csv"`,
  });
});

/** Puts texts before and after what passes. */
function around(before: string, after: string): TransformStream<Uint8Array, Uint8Array> {
  const encoder = new TextEncoder();
  return new TransformStream({
    start: (out) => out.enqueue(encoder.encode(before)),
    flush: (out) => out.enqueue(encoder.encode(after)),
  });
}
