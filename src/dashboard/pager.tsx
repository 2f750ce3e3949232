/** The links below a list that has more than one page. */

interface PagerProps {
  readonly path: string;
  /** The query of the page that is shown. */
  readonly query: URLSearchParams;
  /** Leads to older rows; null where there are none. */
  readonly next: string | null;
}

export function Pager({ path, query, next }: PagerProps) {
  if (next === null && !query.has("cursor")) return null;
  const to = (cursor: string | null) => {
    const target = new URLSearchParams(query);
    target.delete("notice");
    target.delete("cursor");
    if (cursor !== null) target.set("cursor", cursor);
    return target.size > 0 ? `${path}?${target}` : path;
  };
  return (
    <nav class="pages" aria-label="Pages">
      {query.has("cursor") && (
        <a class="button quiet" href={to(null)}>
          Newest
        </a>
      )}
      {next !== null && (
        <a class="button quiet" href={to(next)}>
          Older
        </a>
      )}
    </nav>
  );
}
