/** What the dashboard has, as its routers say it: a view that is added is in every check of all of them. */
import { dashboard } from "../../../src/dashboard/dashboard";

const patternsOf = (method: string): string[] => [
  ...new Set(
    dashboard.routes
      .filter((route) => route.method === method && !route.path.startsWith("/dashboard/files/"))
      .map(({ path }) => path),
  ),
];

/** What views answer with that is no page: a file, and a stream. */
export const NO_PAGES = ["/dashboard/payments.csv", "/dashboard/reconciliation.csv", "/dashboard/payments/:id/stream"];
/** The paths of all pages, with `:name` for their parameters. */
export const VIEWS = patternsOf("GET").filter((path) => !NO_PAGES.includes(path));
/** The paths that forms are sent to. */
export const FORMS = patternsOf("POST");

/**
 * A path with its parameters.
 *
 * @throws Error where a parameter has no value: a new one needs an example
 */
export function pathOf(pattern: string, parameters: Readonly<Record<string, string>>): string {
  return pattern.replaceAll(/:(\w+)(\{[^}]*\})?/g, (_, name: string) => {
    const value = parameters[name];
    if (value === undefined) throw new Error(`There is no example of the parameter ${name} of ${pattern}`);
    return value;
  });
}
