/** What the list of payments may be filtered by: the address of the page, and what it asks of the API. Pure. */
export const PAYMENTS_PATH = "/dashboard/payments";

/** The filters of the list, by the names that they have in the API. */
const FILTERS = [
  ...["status", "order_id", "reference", "currency", "created_from", "created_to", "amount_min", "amount_max"],
  ...(["provider_reference", "metadata"] as const),
] as const;
type FilterName = (typeof FILTERS)[number];

/** Those that stand behind "More filters". */
const RARE: readonly FilterName[] = ["order_id", "amount_min", "amount_max", "provider_reference", "metadata"];

/** The filters that are given, each with what was said; white space around a value is nobody's filter. */
export function filtersOf(query: URLSearchParams): ReadonlyMap<FilterName, readonly string[]> {
  const given = FILTERS.map((name) => {
    const values = query.getAll(name).map((value) => value.trim());
    return [name, values.filter((value) => value !== "")] as const;
  });
  return new Map(given.filter(([, values]) => values.length > 0));
}

export const hasRare = (query: URLSearchParams): boolean => RARE.some((name) => filtersOf(query).has(name));

/** The end of a day, in UTC, as whoever names a day means it; a time as it is. */
const endOf = (time: string): string => (/^\d{4}-\d\d-\d\d$/.test(time) ? `${time}T23:59:59.999Z` : time);

/** The filters as the API is asked. */
export function apiQuery(query: URLSearchParams): Record<string, readonly string[]> {
  const asked = [...filtersOf(query)].map(([name, values]): [string, readonly string[]] => {
    if (name === "created_to") return [name, values.map(endOf)];
    return [name, name === "currency" ? values.map((value) => value.toUpperCase()) : values];
  });
  return Object.fromEntries(asked);
}

/** The address of a page with the filters of this one, and more or other parameters. */
export function pathWith(path: string, query: URLSearchParams, more: Readonly<Record<string, string | null>>): string {
  const kept = [...filtersOf(query)].flatMap(([name, values]) => values.map((value) => [name, value]));
  const limit = query.get("limit");
  const pairs = limit ? [...kept, ["limit", limit]] : kept;
  const given = Object.entries(more).flatMap(([name, value]) => (value === null ? [] : [[name, value]]));
  const all = new URLSearchParams([...pairs, ...given]);
  return all.size > 0 ? `${path}?${all}` : path;
}
