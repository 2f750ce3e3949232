/** Open mode's only protection: which requests come from this machine to this machine. */

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/**
 * Whether a request comes from this machine, to this machine, and so may be answered without access control. A page of
 * another origin may be shown on this machine too, be it served from another of its ports: its browser says whose it is.
 */
export function isLocal(request: Request): boolean {
  const { headers, url } = request;
  const own = originOf(url);
  if (own === null || !LOOPBACK.test(own.hostname)) return false;
  const pages = [headers.get("Origin"), headers.get("Referer")].filter((page) => page !== null);
  const site = headers.get("Sec-Fetch-Site");
  return (site === null || SAME_SITE.has(site)) && pages.every((page) => originOf(page)?.host === own.host);
}

/** What a browser says of a request that its user has made, or a page of the service itself. */
const SAME_SITE: ReadonlySet<string> = new Set(["same-origin", "none"]);

function originOf(url: string): { hostname: string; host: string } | null {
  return URL.canParse(url) ? new URL(url) : null;
}
