/** Which URLs events may be sent to: those of somebody else's public server, however they are spelled. Pure. */

export const MAX_URL_LENGTH = 2_048;

export type ReadUrl = { ok: true; url: string } | { ok: false; detail: string };

/** Names that no public server has, with all that is below them. */
const PRIVATE_DOMAINS = [
  ...["localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan"],
  ...["home.arpa", "test", "invalid", "onion"],
];

/** Two labels or more, none of them empty: `localhost..` is not to hide what it names. */
const PUBLIC_NAME = /^([a-z\d_-]{1,63}\.)+[a-z\d_-]{1,63}$/;

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

export interface UrlRules {
  /** Whether a server on this machine may be told, also without TLS: on one's own machine only. */
  readonly allowLoopback: boolean;
  /** The host of the service itself, as far as it is known. */
  readonly ownHost?: string | undefined;
}

/** Open mode answers this machine alone, and may send to it; no deployment that others reach can. */
export function allowsLoopback({ AUTH_MODE }: { readonly AUTH_MODE: string }): boolean {
  return AUTH_MODE === "open";
}

/**
 * Reads the URL of a webhook endpoint, and judges it as a browser would understand it: so decimal and octal
 * addresses, full-width digits and upper case are what they mean.
 *
 * @returns the URL in its one normal spelling, or what is wrong with it
 */
export function readUrl(text: string, { allowLoopback, ownHost }: UrlRules): ReadUrl {
  const refuse = (detail: string): ReadUrl => ({ ok: false, detail });
  if (text.length > MAX_URL_LENGTH) return refuse(`Must be at most ${MAX_URL_LENGTH} characters long`);
  if (!URL.canParse(text)) return refuse("Must be an absolute URL, such as https://shop.example.com/webhooks");
  const url = new URL(text);
  url.hostname = url.hostname.replace(/\.$/, "");
  if (url.href.length > MAX_URL_LENGTH) {
    return refuse(`Must be at most ${MAX_URL_LENGTH} characters long when percent-encoded`);
  }
  const host = url.hostname;
  const isLoopback = allowLoopback && LOOPBACK.test(host);
  if (url.protocol !== "https:" && !(isLoopback && url.protocol === "http:")) return refuse("Must be an https URL");
  if (url.username !== "" || url.password !== "") return refuse("Must have no user name and no password");
  if (url.hash !== "" || text.includes("#")) return refuse("Must have no fragment");
  if (isLoopback) return { ok: true, url: url.href };
  if (host.startsWith("[") || /^[\d.]+$/.test(host)) return refuse("Must name its host, not an address");
  const isWithin = (domain: string) => host === domain || host.endsWith(`.${domain}`);
  if (!PUBLIC_NAME.test(host) || PRIVATE_DOMAINS.some(isWithin)) return refuse("Must name a public host");
  if (ownHost !== undefined && host === ownHost.replace(/\.$/, "")) return refuse("Must not name this service itself");
  return { ok: true, url: url.href };
}
