/** Which URLs events may be sent to: those of somebody else's public server, however they are spelled. Pure. */

import { allowsLoopback, LOOPBACK } from "../auth/local";

export const MAX_URL_LENGTH = 2_048;

export type ReadUrl = { ok: true; url: string } | { ok: false; detail: string };

/** Names that no public server has, with all that is below them: reserved ones, and those of clusters and networks. */
const PRIVATE_DOMAINS = [
  ...["localhost", "local", "localdomain", "localnet", "internal", "intranet", "intra", "private", "priv", "corp"],
  ...["home", "lan", "router", "gateway", "vpn", "domain", "workgroup", "arpa", "test", "invalid"],
  ...["onion", "alt", "svc", "pod", "default", "cluster", "k8s", "kube", "kubernetes", "consul", "nomad", "docker"],
  ...["mesos", "swarm", "podman", "mesh", "flycast", "ts.net", "metadata.goog", "example", "ip6-localhost"],
  ...["ip6-loopback", "localhost4", "localhost6", "localdomain4", "localdomain6", "internal.cloudapp.net"],
  ...["metadata.tencentyun.com", "metadata.packet.net", "metadata.platformequinix.com", "fritz.box", "routerlogin.net"],
  ...["tplinkwifi.net"],
];

/** Public domains below which every name leads to the address that it spells, or to this machine. */
const ADDRESS_DOMAINS = [
  ...["nip.io", "sslip.io", "xip.io", "xip.name", "ip6.name", "nip.direct", "traefik.me", "backname.io", "ipq.co"],
  ...["localtest.me", "lvh.me", "vcap.me", "lacolhost.com", "local.gd", "localhost.direct", "fuf.me", "fbi.com"],
  ...["yoogle.com", "smackaho.st", "42foo.com", "beweb.com", "ulh.us", "lndo.site", "ddev.site", "lcl.host"],
  ...["1u.ms", "rbndr.us", "rebind.network", "local-ip.co", "local-ip.sh", "plex.direct", "localho.st", "localh.st"],
  ...[
    "localhost.localstack.cloud",
    "loopback.jp",
    "localdev.me",
    "spoofed.burpcollaborator.net",
    "bugbounty.dod.network",
    "mail.ebc.apple.com",
  ],
];

/** Two labels or more, none of them empty: `localhost..` is not to hide what it names. */
const PUBLIC_NAME = /^([a-z\d_-]{1,63}\.)+[a-z\d_-]{1,63}$/;

/** The ports of HTTPS that public servers have; others may be of something else. The first is the default. */
const PORTS = ["", "443", "8443"];

export interface UrlRules {
  /** Whether events may be sent to this machine, to any port and also without TLS: on one's own machine only. */
  readonly allowLoopback: boolean;
  /** The domains of the service's operator, all of which are refused. */
  readonly ownDomains: readonly string[];
}

/** What wrangler.toml says of the URLs of webhook endpoints. */
interface UrlVariables {
  readonly AUTH_MODE: string;
  readonly ALLOW_LOOPBACK_WEBHOOKS: string;
  readonly OWN_DOMAINS: string;
}

/**
 * The rules of a configuration. Open mode answers this machine alone, and may send to it; so may whoever tries
 * webhooks with keys on their own machine.
 */
export function urlRules(variables: UrlVariables): UrlRules {
  return {
    allowLoopback: allowsLoopback(variables),
    ownDomains: variables.OWN_DOMAINS.toLowerCase()
      .split(/[\s,]+/)
      .map((domain) => domain.replace(/^(\*?\.)+|\.$/g, ""))
      .filter((domain) => domain !== ""),
  };
}

/** Why a service that is reached by this URL may not answer: it would let events be sent to its own machine. */
export function loopbackMisconfiguration({ ALLOW_LOOPBACK_WEBHOOKS }: UrlVariables, requestUrl: string): string | null {
  const isSafe = ALLOW_LOOPBACK_WEBHOOKS !== "yes" || LOOPBACK.test(new URL(requestUrl).hostname);
  return isSafe ? null : "ALLOW_LOOPBACK_WEBHOOKS is for one's own machine: set it to no in a deployment";
}

/**
 * Reads the URL of a webhook endpoint, and understands it as a browser would: so decimal and octal
 * addresses, full-width digits and upper case are what they mean.
 *
 * @param ownHost the host of the service itself, as far as it is known
 * @returns the URL in its one normal spelling, or what is wrong with it
 */
export function readUrl(text: string, { allowLoopback, ownDomains }: UrlRules, ownHost?: string): ReadUrl {
  const refuse = (detail: string): ReadUrl => ({ ok: false, detail });
  if ([...text].length > MAX_URL_LENGTH) return refuse(`Must be at most ${MAX_URL_LENGTH} characters long`);
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
  if (
    !PUBLIC_NAME.test(host) ||
    [...PRIVATE_DOMAINS, ...ADDRESS_DOMAINS].some(isWithin) ||
    spellsPrivateAddress(host)
  ) {
    return refuse("Must name a public host");
  }
  if (ownHost !== undefined && host === ownHost.replace(/\.$/, "")) return refuse("Must not name this service itself");
  if (ownDomains.some(isWithin)) return refuse("Must not name a host of this service's operator");
  if (!PORTS.includes(url.port)) return refuse("Must have the port 443 or 8443");
  return { ok: true, url: url.href };
}

/** Addresses that mean something inside a network only (RFC 6890). */
const PRIVATE_IPV4 = [
  /^0\.0\.0\.0$/,
  /^10\./,
  /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./,
  /^127\./,
  /^169\.254\./,
  /^172\.(1[6-9]|2\d|3[01])\./,
  /^192\.168\./,
  /^192\.0\.0\./,
  /^198\.1[89]\./,
  /^255\.255\.255\.255$/,
];
/** Addresses of nobody: this network, multicast and what is reserved. Meant where all four numbers stand; else, any number is. */
const NOBODYS_IPV4 = /^(0|2(2[4-9]|[34]\d|5[0-5]))\./;
const PRIVATE_IPV6 = /^\[(::|::1|::ffff:.*|64:ff9b:.*|f[cd].*|fe[89ab].*)\]$/;

/** What a URL's host becomes when it is an address, else null. */
function addressOf(host: string): string | null {
  const canonical = URL.canParse(`http://${host}/`) ? new URL(`http://${host}/`).hostname : "";
  return /^(\d+\.){3}\d+$|^\[/.test(canonical) ? canonical : null;
}

const isPrivate = (address: string | null): boolean =>
  address !== null &&
  (PRIVATE_IPV6.test(address) || PRIVATE_IPV4.some((range) => range.test(address)) || isPrivate(within6to4(address)));

const isNoServers = (address: string | null): boolean =>
  isPrivate(address) || (address !== null && NOBODYS_IPV4.test(address));

/** The IPv4 address that an IPv6 address of 6to4 (RFC 3056) is of, else null. */
function within6to4(address: string): string | null {
  const [, high, low = ""] = /^\[2002:([\da-f]{1,4}):([\da-f]{0,4})/.exec(address) ?? [];
  return high === undefined ? null : addressOf(`0x${high.padStart(4, "0")}${low.padStart(4, "0")}`);
}

const NUMBER = /^(\d+|0x[\da-f]+)$/;
/** The first and the last of four numbers, with letters before or behind: `ip10`, `1a`. More of these begin a word: `1stshop`. */
const FIRST_NUMBER = /^[a-z]*?(\d+|0x[\da-f]+)$/;
const LAST_NUMBER = /^(0x[\da-f]{1,2}|\d+)[a-z]{0,2}$/;

/** The four numbers that parts of a name are; null when they are not four, or no numbers. */
function numbersOf([first = "", second = "", third = "", last = ""]: readonly string[]): string[] | null {
  const [, one] = FIRST_NUMBER.exec(first) ?? [];
  const [, four] = LAST_NUMBER.exec(last) ?? [];
  return one === undefined || four === undefined || !NUMBER.test(second) || !NUMBER.test(third)
    ? null
    : [one, second, third, four];
}

/** One number that is an address: in decimal, in octal, or in hex with so many digits that it is no name such as `0x0`. */
const ONE_NUMBER = /^([1-9]\d{7,9}|0+[1-7][0-7]{9,10}|0x0*[\da-f]{7,8})$/;
const isNumber = (label = "") => /^(\d+|0x[\da-f]+)$/.test(label);
/** The first number of loopback addresses, which is often followed by the last alone. */
const LOOPBACK_NUMBER = /^(0*127|0+177|0x0*7f)$/;

/**
 * Whether a name spells a private address, as services that answer with it have them: in four numbers with dots or
 * hyphens between them anywhere in the name, also in hex of two digits each; or in one label as one number in decimal, octal or hex, or as IPv6 with
 * hyphens for colons; or as a loopback address in short.
 */
function spellsPrivateAddress(host: string): boolean {
  const parts = host.split(/[._-]/);
  const inFour = parts.some((_, n) => {
    const four = numbersOf(parts.slice(n, n + 4));
    if (four === null) return false;
    const decimal = four.map((part) => part.replace(/^0+(?=\d)/, ""));
    return isNoServers(addressOf(four.join("."))) || isNoServers(addressOf(decimal.join(".")));
  });
  const inHexPairs = parts.some((_, n) => {
    const four = parts.slice(n, n + 4);
    return four.every((part) => /^[\da-f]{2}$/.test(part)) && isPrivate(addressOf(`0x${four.join("")}`));
  });
  const labels = host.split(".");
  const inShort = labels.some(
    (label, n) => LOOPBACK_NUMBER.test(label) && isNumber(labels[n + 1]) && !isNumber(labels[n - 1]),
  );
  const inOne = labels.some((label) => ONE_NUMBER.test(label) && isPrivate(addressOf(label)));
  const inHex = labels.some((label) => /^[\da-f]{8}$/.test(label) && isMeant(addressOf(`0x${label}`)));
  const inIpv6 = labels.some(
    (label) => /^[\da-f]*(-[\da-f]*){2,7}$/.test(label) && isPrivate(addressOf(`[${label.replaceAll("-", ":")}]`)),
  );
  return inFour || inHexPairs || inShort || inOne || inHex || inIpv6;
}

/**
 * Whether eight hex digits mean a private address. They may as well be the beginning of some digest, as previews of
 * deployments are named, and one in a hundred of those is in the largest ranges: there, only what is common counts.
 */
function isMeant(address: string | null): boolean {
  return isPrivate(address) && (!/^(10|100|127|198)\./.test(address ?? "") || /^(10|127)\.0\./.test(address ?? ""));
}
