/** One's own machine: which requests come from it to it, open mode's only protection, and what may be sent to it. */

/** The names and addresses of this machine, as a URL's host has them. */
export const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/**
 * Whether the service may ask servers on this machine: open mode answers this machine alone, and so does whoever sets the variable on
 * their own machine.
 */
export const allowsLoopback = (env: {
  readonly AUTH_MODE: string;
  readonly ALLOW_LOOPBACK_WEBHOOKS: string;
}): boolean => env.AUTH_MODE === "open" || env.ALLOW_LOOPBACK_WEBHOOKS === "yes";

/**
 * Whether a request comes from this machine, to this machine, and so may be answered without access control. A page of
 * another origin may be shown on this machine too, be it served from another of its ports: its browser says whose it is. A
 * link on such a page may be followed, for what it leads to is shown to the user, and the page can read nothing of it.
 */
export function isLocal(request: Request): boolean {
  const { headers, url } = request;
  if (!URL.canParse(url) || !LOOPBACK.test(new URL(url).hostname)) return false;
  const isOwn = (page: string | null) =>
    page === null || (URL.canParse(page) && new URL(page).origin === new URL(url).origin);
  if (!isOwn(headers.get("Origin"))) return false;
  const site = headers.get("Sec-Fetch-Site");
  return ((site === null || SAME_SITE.has(site)) && isOwn(headers.get("Referer"))) || isFollowedLink(request);
}

/** What a browser says of a request that its user has made, or a page of the service itself. */
const SAME_SITE: ReadonlySet<string> = new Set(["same-origin", "none"]);

/** Whether a window of the browser opens what it asks for, and nothing within a page does: no script can send these headers. */
function isFollowedLink({ method, headers }: Request): boolean {
  const isNavigation = headers.get("Sec-Fetch-Mode") === "navigate" && headers.get("Sec-Fetch-Dest") === "document";
  return method === "GET" && isNavigation;
}
