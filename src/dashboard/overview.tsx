/** The first page: how the money goes. */
import { Heading } from "./layout";
import { newDashboardApp, view } from "./view";

export const overview = newDashboardApp();

view(overview, "/dashboard", { scopes: ["payments:read"] }, () => ({
  title: "Overview",
  section: "Overview",
  content: <Heading title="Overview" />,
}));
