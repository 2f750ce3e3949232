/** The list of payments as a file. */
import { listPaymentsRoute } from "../../payment/routes/list";
import { download } from "../download";
import { newDashboardApp, view } from "../view";
import { apiQuery, PAYMENTS_PATH, pathWith } from "./filters";

export const paymentExport = newDashboardApp();

const PATH = `${PAYMENTS_PATH}.csv`;

view(paymentExport, PATH, { scopes: ["payments:read"] }, async (visit, { query }) => {
  const cursor = query.get("cursor") ?? undefined;
  const response = await visit.api.send(listPaymentsRoute, {
    query: { ...apiQuery(query), cursor },
    headers: { Accept: "text/csv" },
  });
  const nextPath = (more: Readonly<Record<string, string>>) => pathWith(PATH, query, more);
  return download(visit, response, { section: "Payments", name: "payments", query, nextPath });
});
