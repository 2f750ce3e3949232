import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loopbackMisconfiguration, readUrl, urlRules } from "../../../src/webhook/url";

const HTTPS = "https://";
const OWN_HOST = "pay.example.com";
const PUBLIC_ONLY = { allowLoopback: false, ownDomains: [] };
const read = (text: string) => readUrl(text, PUBLIC_ONLY, OWN_HOST);
const readLocally = (text: string) => readUrl(text, { allowLoopback: true, ownDomains: [] });

const NO_URL = "Must be an absolute URL, such as https://shop.example.com/webhooks";
const NO_HTTPS = "Must be an https URL";
const CREDENTIALS = "Must have no user name and no password";
const FRAGMENT = "Must have no fragment";
const ADDRESS = "Must name its host, not an address";
const NOT_PUBLIC = "Must name a public host";
const OWN = "Must not name this service itself";
const OPERATOR = "Must not name a host of this service's operator";
const PORT = "Must have the port 443 or 8443";

const refused = (detail: string) => ({ ok: false, detail });

describe("a URL is accepted in its one normal spelling:", () => {
  it.each([
    ["https://shop.example.com/webhooks", "https://shop.example.com/webhooks"],
    ["https://shop.example.com", "https://shop.example.com/"],
    ["HTTPS://Shop.EXAMPLE.com/Hooks?To=Me", "https://shop.example.com/Hooks?To=Me"],
    ["https://shop.example.com:443/", "https://shop.example.com/"],
    ["https://shop.example.com:8443/", "https://shop.example.com:8443/"],
    ["https://shop.example.com./a", "https://shop.example.com/a"],
    ["https://shop.example.com.:8443/a", "https://shop.example.com:8443/a"],
    ["https://shop。example．com｡/a", "https://shop.example.com/a"],
    ["https://ｓｈｏｐ.example.com/", "https://shop.example.com/"],
    ["https://sh%6Fp.example.com/", "https://shop.example.com/"],
    ["https://sho\u00adp.example.com/", "https://shop.example.com/"],
    ["https://bücher.example.com/ü?ü", "https://xn--bcher-kva.example.com/%C3%BC?%C3%BC"],
    ["https://shop_1.example.com/", "https://shop_1.example.com/"],
    ["https://8.8.8.8.example.com/", "https://8.8.8.8.example.com/"],
    ["https://v1-10-0-1.example.com/", "https://v1-10-0-1.example.com/"],
    ["https://2026-10-10-10.example.com/", "https://2026-10-10-10.example.com/"],
    ["https://orders-1234567.example.com/", "https://orders-1234567.example.com/"],
    ["https://deadbeef.example.com/", "https://deadbeef.example.com/"],
    // The beginnings of digests and of UUIDs, which lie in 10.0.0.0/8 by chance.
    ["https://0a1b2c3d.pages.example.com/", "https://0a1b2c3d.pages.example.com/"],
    [
      "https://0a000001-9f6b-4c1d-8e2a-5b7c9d0e1f2a.example.com/",
      "https://0a000001-9f6b-4c1d-8e2a-5b7c9d0e1f2a.example.com/",
    ],
    ["https://orders-2130706433.example.com/", "https://orders-2130706433.example.com/"],
    ["https://10.shop.0.0.1.example.com/", "https://10.shop.0.0.1.example.com/"],
    // Numbers that shops have in names: of versions, dates, accounts, telephones, and of a service that is so named.
    ["https://v10-0-1.example.com/", "https://v10-0-1.example.com/"],
    ["https://v2-10-0-1.example.com/", "https://v2-10-0-1.example.com/"],
    ["https://2002-10-0-1.example.com/", "https://2002-10-0-1.example.com/"],
    ["https://2002-05-12.example.com/", "https://2002-05-12.example.com/"],
    ["https://2002-808-808--.example.com/", "https://2002-808-808--.example.com/"],
    ["https://01705551234.example.com/", "https://01705551234.example.com/"],
    ["https://01300000001.example.com/", "https://01300000001.example.com/"],
    ["https://0x0.st/", "https://0x0.st/"],
    ["https://10.1.example.com/", "https://10.1.example.com/"],
    ["https://127.shop.com/", "https://127.shop.com/"],
    ["https://ip8-8-8-8.example.com/", "https://ip8-8-8-8.example.com/"],
    ["https://8-8-8-8x.example.com/", "https://8-8-8-8x.example.com/"],
    ["https://mesh.example.com/", "https://mesh.example.com/"],
    ["https://apple.com/", "https://apple.com/"],
    ["https://notlocalho.st/", "https://notlocalho.st/"],
    ["https://svc.example.com/", "https://svc.example.com/"],
    ["https://notnip.io/", "https://notnip.io/"],
    ["https://172-32-0-1.example.com/", "https://172-32-0-1.example.com/"],
    ["https://localhost.example.com/", "https://localhost.example.com/"],
    ["https://notlocalhost.com/", "https://notlocalhost.com/"],
    ["https://my-internal.com/", "https://my-internal.com/"],
    ["https://example.com/", "https://example.com/"],
    ["https://spay.example.com/", "https://spay.example.com/"],
    ["https://pay.example.com.shop.com/", "https://pay.example.com.shop.com/"],
    ["https://shop.example.com/a@b:c", "https://shop.example.com/a@b:c"],
    ["https://shop.example.com\\@127.0.0.1", "https://shop.example.com/@127.0.0.1"],
    ["https://@shop.example.com/", "https://shop.example.com/"],
    ["https:\\\\shop.example.com\\a", "https://shop.example.com/a"],
    ["https:shop.example.com", "https://shop.example.com/"],
    [" https://shop.exam\tple.com/a\nb\r\n ", "https://shop.example.com/ab"],
    ["https://shop.example.com/%23", "https://shop.example.com/%23"],
  ])("%j", (text, url) => {
    expect(read(text)).toEqual({ ok: true, url });
  });

  it("with as many characters as fit, percent-encoded", () => {
    // 2,048 characters are what common servers and proxies take in a request line, with room to spare.
    const start = "https://shop.example.com/";
    const full = start + "a".repeat(2_048 - start.length);
    expect(read(full)).toEqual({ ok: true, url: full });
    expect(read(`${full}a`)).toEqual(refused(`Must be at most 2048 characters long`));
    const tooLong = refused(`Must be at most 2048 characters long when percent-encoded`);
    expect(read(`${full.slice(0, -1)}ü`)).toEqual(tooLong);
    expect(read(`${full.slice(0, -6)}ü`)).toEqual({ ok: true, url: `${full.slice(0, -6)}%C3%BC` });
  });
});

/** Expects that each of some texts, with a space between them, is refused. */
function expectRefusal(texts: string, detail: string, start = ""): void {
  for (const text of texts.split(" "))
    expect(read(start + text), JSON.stringify(start + text)).toEqual(refused(detail));
}

describe("refused is", () => {
  it("what is no URL, or one that nobody could follow", () => {
    expectRefusal("", NO_URL);
    expectRefusal("shop.example.com //shop.example.com /webhooks https https: https:// https:/// https://#", NO_URL);
    expectRefusal("shop.example.com:65536 shop.example.com:a 1.2.3.4.5 256.0.0.1 4294967296 shop.1", NO_URL, HTTPS);
    expectRefusal("127..1 shop.0x7f [::1 [::1%25eth0] [::1]. %5B::1%5D xn-- shop%20.example.com", NO_URL, HTTPS);
    expectRefusal("shop%00.example.com shop%2Fexample.com shop.example.com%40127.0.0.1", NO_URL, HTTPS);
    expect(read("https://shop example.com/")).toEqual(refused(NO_URL));
  });

  it("another scheme than https", () => {
    expectRefusal("http://a.com ftp://a.com ws://a.com wss://a.com httpss://a.com file://a.com file:///etc", NO_HTTPS);
    expectRefusal("HTTP://a.com \thttp://a.com ht\ntp://a.com http:a.com http:\\\\a.com http://localhost", NO_HTTPS);
    expectRefusal("data:,https://a.com javascript:alert(1) about:blank blob:https://a.com/1 mailto:a@b.com", NO_HTTPS);
    expectRefusal("a.com:443 localhost:8787 http://127.0.0.1 http://[::1] http://me@a.com http://a.com#a", NO_HTTPS);
  });

  it("what has credentials", () => {
    expectRefusal("me@a.com me:secret@a.com me:@a.com :secret@a.com %6De@a.com @@a.com m\te@a.com", CREDENTIALS, HTTPS);
    expectRefusal(
      "shop.com@127.0.0.1 127.0.0.1@shop.com 127.0.0.1:80@shop.com shop.com:@localhost",
      CREDENTIALS,
      HTTPS,
    );
    expectRefusal("https:me@shop.com https:\\\\me@shop.com https://shop.com:443@[::1]:443", CREDENTIALS);
  });

  it("what has a fragment", () => {
    expectRefusal("/#a /# # ?# /?a#a #@127.0.0.1/ /\n# #\t", FRAGMENT, `${HTTPS}shop.example.com`);
  });

  it.each([
    ["127.0.0.1 127.255.255.254 0.0.0.0 255.255.255.255 10.0.0.1 192.168.0.1 169.254.169.254 8.8.8.8"],
    ["127.0.0.1. 127.1. 2130706433. 0x7f.1. 127.0.0.1.. 0x7f.1.. 2130706433.."],
    ["127.1 127.0.1 1.2.3 1 0 00 0x 127.1:443 127.0.0.1:8443"],
    ["2130706433 2852039166 134744072"],
    ["0177.0.0.1 017700000001 0177.1 127.0.0.01 000000127.1"],
    ["0x7f.0.0.1 0x7f000001 0X7F.1 0x7f.0.0x0.01 0x0000007f.1"],
    ["１２７.0.0.1 １２７．０．０．１ １２７。０。０。１ ①②⑦.0.0.1 0ｘ7f.1 ２１３０７０６４３３ 𝟭𝟮𝟳.0.0.1"],
    ["%31%32%37.0.0.1 127%2E0%2E0%2E1 127.1%2e %EF%BC%91%EF%BC%92%EF%BC%97.1 12\t7.0.0.1 127.0\n.0.1 12\u00ad7.1"],
    ["[::1] [::] [0:0:0:0:0:0:0:1] [0000::0001] [::1]:8443 [fe80::1] [fc00::1] [2001:4860:4860::8888]"],
    ["[::127.0.0.1] [::ffff:127.0.0.1] [::FFFF:7f00:1] [0:0:0:0:0:ffff:169.254.169.254] [64:ff9b::127.0.0.1]"],
  ])("an address: %s", (hosts) => {
    expectRefusal(hosts, ADDRESS, HTTPS);
  });

  it.each([
    ["localhost LOCALHOST LocalHost a.localhost a.b.localhost A.LOCALHOST localhost:8443 localhost.:8443 .localhost"],
    [
      "localhost. a.localhost. localhost.. localhost... a.localhost.. localhost%2e localhost。 localhost%2e%2e localhost。。",
    ],
    ["ｌｏｃａｌｈｏｓｔ ⓛⓞⓒⓐⓛⓗⓞⓢⓣ localhoſt loc%61lhost %4cocalhost a。localhost a．localhost｡"],
    ["local\thost local\u00adhost local\u200bhost"],
    [
      "printer.local PRINTER.LOCAL a.printer.local printer.local. printer.local.. printer.ｌｏｃａｌ printer。local a.%6cocal",
    ],
    ["metadata.google.internal METADATA.Internal a.internal. a.internal.. a.ｉnternal a.%69nternal"],
    ["a.localdomain a.intranet a.private a.corp a.home a.lan a.home.arpa a.test a.invalid a.onion"],
    ["local internal home.arpa shop shop. com bücher xn--bcher-kva _ -"],
    ["shop..example.com .shop.example.com shop.example.com.. pay.example.com.."],
    ["shop!.example.com shop*.example.com shop'.example.com shop,example.com shop;a.example.com (shop).example.com"],
    [`${"a".repeat(64)}.example.com shop.example.${"a".repeat(64)}`],
  ])("a name that no public server has: %s", (hosts) => {
    expectRefusal(hosts, NOT_PUBLIC, HTTPS);
  });

  it.each([
    ["10.0.0.1.nip.io app.10.0.0.1.nip.io 10-0-0-1.nip.io app-10-0-0-1.nip.io 0a000001.nip.io 8.8.8.8.nip.io NIP.io"],
    ["10-0-0-1.sslip.io www.192-168-0-1.sslip.io --1.sslip.io fe80--1.sslip.io 169.254.169.254.xip.io a.localtest.me"],
    ["localtest.me lvh.me a.lvh.me vcap.me local.gd fuf.me lacolhost.com 7f000001.rbndr.us"],
    ["10.0.0.1.example.com 127.0.0.1.example.com a.127.0.0.1.b.example.com 192.168.1.1.example.com"],
    ["10-0-0-1.example.com app-172-16-0-9.example.com 100-64-0-1-x.example.com 169_254_169_254.example.com"],
    ["0.0.0.0.example.com 0-0-0-0.example.com 192-0-0-1.example.com 198-18-0-1.example.com 10.0-0.1.example.com"],
    ["012.0.0.1.example.com 0xa.0.0.1.example.com 010.0.0.1.example.com 0127.0.0.1.example.com"],
    ["2130706433.example.com 167772161.example.com 2852039166.example.com 7f000001.example.com 0x7f000001.example.com"],
    ["a9fea9fe.example.com c0a80001.example.com 0A000001.example.com １０.0.0.1.example.com 10。0。0。1.example.com"],
    [
      "ip10-0-0-1.example.com x10-0-0-1.example.com r10.0.0.1.example.com a-ip10-0-0-1.example.com ip-010-0-0-1.example.com",
    ],
    [
      "10-0-0-1x.example.com 10.0.0.1a.example.com ip127-0-0-1x.example.com ip0xa-0-0-1.example.com 10-0-0-0x1x.example.com",
    ],
    ["0xa000001.example.com 0x0a000001.example.com 0x000a000001.example.com 0xac100001.example.com"],
    ["017700000001.example.com 01200000001.example.com 030052000001.example.com 00017700000001.example.com"],
    [
      "127.1.example.com 127.0.1.example.com a.127.1.b.example.com 0177.1.example.com 0x7f.1.example.com 00177.0x1.example.com",
    ],
    ["2002-a00-1--.example.com 2002-7f00-1--1.example.com 2002-c0a8-101--.example.com 2002-a00--.example.com"],
    ["--1.example.com 0-0-0-0-0-0-0-1.example.com fd00--1.example.com fe80--1.example.com --ffff-7f00-1.example.com"],
  ])("a name that spells a private address: %s", (hosts) => {
    expectRefusal(hosts, NOT_PUBLIC, HTTPS);
  });

  it.each([
    ["payments.default.svc payments.svc.cluster.local kubernetes.default api.cluster vault.service.consul db.consul"],
    ["job.nomad app.docker host.docker.internal api.k8s a.kube a.pod a.vpn a.router a.arpa a.alt"],
  ])("a name of a cluster or a network: %s", (hosts) => {
    expectRefusal(hosts, NOT_PUBLIC, HTTPS);
  });

  it("every name that no public server has, and every domain whose names spell addresses, with all below it", () => {
    const names = [
      "localhost local localdomain localnet internal intranet intra private priv corp home lan router gateway vpn domain",
      "workgroup home.arpa arpa test invalid onion alt svc pod default cluster k8s kube kubernetes consul nomad docker",
      "nip.io sslip.io xip.io xip.name ip6.name nip.direct traefik.me backname.io ipq.co localtest.me lvh.me vcap.me",
      "lacolhost.com local.gd localhost.direct fuf.me fbi.com yoogle.com smackaho.st 42foo.com beweb.com ulh.us",
      "lndo.site ddev.site lcl.host 1u.ms rbndr.us rebind.network local-ip.co local-ip.sh plex.direct",
      "localho.st localh.st localdev.me spoofed.burpcollaborator.net bugbounty.dod.network mail.ebc.apple.com",
      "metadata.goog mesos swarm flycast ts.net mesh podman ip6-localhost ip6-loopback localhost4 localhost6",
      "localdomain4 localdomain6 example localhost.localstack.cloud internal.cloudapp.net metadata.tencentyun.com",
      "metadata.packet.net metadata.platformequinix.com fritz.box loopback.jp routerlogin.net tplinkwifi.net",
    ].join(" ");
    expectRefusal(names, NOT_PUBLIC, HTTPS);
    expectRefusal(names, NOT_PUBLIC, `${HTTPS}a.`);
  });

  it.each([
    [
      "100.64.0.1 100.69.0.1 100.70.0.1 100.75.1.1 100.99.0.1 100.100.0.1 100.109.0.1 100.115.0.1 100.120.0.1 100.127.9.9",
    ],
    ["172.16.0.1 172.19.0.1 172.20.0.1 172.25.0.1 172.29.0.1 172.30.0.1 172.31.0.1 198.18.0.1 198.19.9.9 192.0.0.8"],
    ["0.0.0.1 0.1.2.3 0-255-255-255 224.0.0.1 230.1.1.1 239.255.255.250 240.0.0.1 249.0.0.1 255.0.0.1 255.255.255.255"],
    ["7f-00-00-01 0a-00-00-01 a9-fe-a9-fe c0.a8.01.01 64-40-00-01 app-7f-00-00-01 00-00-00-00 ff-ff-ff-ff 4294967295"],
    ["10.00000.0.1 000010.0.0.1 10.0.00000.1 10.0.0.00001 10.0x000.0.1 0x00a.0.0.1"],
    ["0010.0.0.1 0x0a.0.0.1 0x7f.0.0.1 ac106401 64-ff9b--a00-1 fc00--1 feb0--1"],
  ])("a name that spells an address of each private range: %s", (spelled) => {
    for (const host of spelled.split(" ")) expectRefusal(`${host}.example.com`, NOT_PUBLIC, HTTPS);
  });

  it.each([
    ["8.10.0.9 8.100.64.1 8.127.0.1 8.169.254.1 8.172.16.1 8.192.168.1 8.198.18.1 20.0.0.0 100.1.1.1"],
    ["100.63.0.1 100.128.0.1 100.20.0.1 100.130.0.1 172.15.0.1 172.32.0.1 198.17.0.1 198.20.0.1 192.0.1.1 11.0.0.1"],
    [
      "0a0a0001 08080808 134744072 2001-db8--1 223.255.255.255 22.4.0.1 1.0.0.1 256.0.0.1 08-08-08-08 7f-00-00 7f-00-00-1",
    ],
    // One number, or hex, by which shops are called as well: of this network, multicast and what is reserved.
    ["12345678 4000000000 00112233 e0c0ffee f00dbabe 0-1-2 e1-00-00-01 10.x0.0.1 10.0.0x.1x1"],
  ])("no name that spells a public address: %s", (spelled) => {
    for (const host of spelled.split(" ")) {
      const url = `https://${host}.example.com/`;
      expect(read(url), url).toEqual({ ok: true, url });
    }
  });

  it("no name that ends with fewer than four numbers", () => {
    expect(read("https://shop.com-10-1/")).toEqual({ ok: true, url: "https://shop.com-10-1/" });
  });

  it("another port than those of https", () => {
    const ports = "80 22 25 444 1 65535 8080 8444 6379 9200 10250";
    expectRefusal(ports, PORT, `${HTTPS}shop.example.com:`);
  });

  it("what is of the service's operator, with all below it", () => {
    const rules = urlRules({
      AUTH_MODE: "required",
      ALLOW_LOOPBACK_WEBHOOKS: "no",
      OWN_DOMAINS: "Pay.test-shop.com, *.intern.example.net.  .dev.example.org",
    });
    const hosts = "pay.test-shop.com a.pay.test-shop.com PAY.test-shop.com. intern.example.net a.b.intern.example.net";
    for (const host of `${hosts} dev.example.org x.dev.example.org:8443`.split(" ")) {
      expect(readUrl(`https://${host}/`, rules), host).toEqual(refused(OPERATOR));
    }
    for (const host of ["test-shop.com", "apay.test-shop.com", "example.net", "dev.example.org.uk"]) {
      expect(readUrl(`https://${host}/`, rules), host).toEqual({ ok: true, url: `https://${host}/` });
    }
  });

  it("the service itself, and not what is below it", () => {
    expect(read("https://v2.pay.example.com/")).toEqual({ ok: true, url: "https://v2.pay.example.com/" });
    const hosts =
      "pay.example.com PAY.Example.com pay.example.com. pay.example.com:8443 pay.example.com.:8443 ｐａｙ.example.com " +
      "p%61y.example.com pay。example.com pa\ty.example.com p\u00aday.example.com";
    expectRefusal(hosts, OWN, HTTPS);
    for (const host of hosts.split(" ")) {
      expect(readUrl(`https://${host}/`, PUBLIC_ONLY, `${OWN_HOST}.`), host).toEqual(refused(OWN));
    }
  });
});

describe("on one's own machine", () => {
  it.each([
    ["http://localhost:8787/webhooks", "http://localhost:8787/webhooks"],
    ["https://localhost:8787/webhooks", "https://localhost:8787/webhooks"],
    ["http://LOCALHOST.:3000", "http://localhost:3000/"],
    ["http://127.0.0.1:80/", "http://127.0.0.1/"],
    ["https://127.0.0.1/", "https://127.0.0.1/"],
    ["http://127.255.0.9:1/", "http://127.255.0.9:1/"],
    ["http://127.1:3000/", "http://127.0.0.1:3000/"],
    ["http://2130706433/", "http://127.0.0.1/"],
    ["http://[::1]:3000/", "http://[::1]:3000/"],
    ["https://[0:0:0:0:0:0:0:1]/", "https://[::1]/"],
    ["https://shop.example.com/", "https://shop.example.com/"],
  ])("%j is accepted", (text, url) => {
    expect(readLocally(text)).toEqual({ ok: true, url });
  });

  it.each([
    ["http://shop.example.com/", NO_HTTPS],
    ["http://localhost.example.com/", NO_HTTPS],
    ["http://127.0.0.1.example.com/", NO_HTTPS],
    ["http://a.localhost/", NO_HTTPS],
    ["http://localhost../", NO_HTTPS],
    ["http://10.0.0.1/", NO_HTTPS],
    ["http://126.0.0.1/", NO_HTTPS],
    ["http://128.0.0.1/", NO_HTTPS],
    ["http://0.0.0.0/", NO_HTTPS],
    ["http://[::]/", NO_HTTPS],
    ["http://[::ffff:127.0.0.1]/", NO_HTTPS],
    ["http://[::127.0.0.1]/", NO_HTTPS],
    ["ws://localhost/", NO_HTTPS],
    ["ftp://127.0.0.1/", NO_HTTPS],
    ["https://10.0.0.1/", ADDRESS],
    ["https://0.0.0.0/", ADDRESS],
    ["https://[::]/", ADDRESS],
    ["https://[::ffff:127.0.0.1]/", ADDRESS],
    ["https://a.localhost/", NOT_PUBLIC],
    ["https://printer.local/", NOT_PUBLIC],
    ["http://me@localhost/", CREDENTIALS],
    ["http://localhost@10.0.0.1/", NO_HTTPS],
    ["http://localhost:80@127.0.0.1/", CREDENTIALS],
    ["http://localhost/#", FRAGMENT],
  ])("%j is refused still", (text, detail) => {
    expect(readLocally(text)).toEqual(refused(detail));
  });
});

describe("ALLOW_LOOPBACK_WEBHOOKS", () => {
  const variables = { AUTH_MODE: "required", ALLOW_LOOPBACK_WEBHOOKS: "yes", OWN_DOMAINS: "" };

  it("lets events be sent to this machine with keys too, and only when it says yes", () => {
    expect(urlRules(variables).allowLoopback).toBe(true);
    for (const other of ["no", "", "true", "YES"]) {
      expect(urlRules({ ...variables, ALLOW_LOOPBACK_WEBHOOKS: other }).allowLoopback, other).toBe(false);
    }
    expect(urlRules({ ...variables, AUTH_MODE: "open", ALLOW_LOOPBACK_WEBHOOKS: "no" }).allowLoopback).toBe(true);
  });

  it.each(["http://localhost:8000/", "http://127.0.0.1/", "http://[::1]:8000/"])("is no fault at %s", (url) => {
    expect(loopbackMisconfiguration(variables, url)).toBeNull();
  });

  it.each(["https://pay.example.com/", "https://localhost.example.com/", "http://10.0.0.1/"])("is at %s", (url) => {
    expect(loopbackMisconfiguration(variables, url)).toContain("ALLOW_LOOPBACK_WEBHOOKS");
    expect(loopbackMisconfiguration({ ...variables, ALLOW_LOOPBACK_WEBHOOKS: "no" }, url)).toBeNull();
  });
});

describe("however it is spelled,", () => {
  const FULL_WIDTH = 0xff01 - 0x21;
  const isDot = (character: string) => character === ".";
  /** Spellings of a character of a host that mean the same to who follows the URL. */
  const disguised = (character: string) =>
    fc.constantFrom(
      character,
      character.toUpperCase(),
      `%${character.charCodeAt(0).toString(16)}`,
      encodeURIComponent(String.fromCharCode(character.charCodeAt(0) + FULL_WIDTH)),
      String.fromCharCode(character.charCodeAt(0) + FULL_WIDTH),
      isDot(character) ? "\u3002" : `${character}\u00ad`,
      isDot(character) ? "\uff61" : `\t${character}`,
    );
  const disguise = (host: string) => fc.tuple(...[...host].map(disguised)).map((parts) => parts.join(""));
  const around = (host: fc.Arbitrary<string>) =>
    fc
      .tuple(host.chain(disguise), fc.constantFrom("", ".", "%2e", "\u3002"), fc.constantFrom("", ":443", ":8443"))
      .map(([name, dot, port]) => `https://${name}${dot}${port}/webhooks`);

  const number = (value: number) =>
    fc.constantFrom(String(value), `0${value.toString(8)}`, `0x${value.toString(16)}`, `0x00${value.toString(16)}`);
  const byte = fc.nat({ max: 255 }).chain(number);
  /** An IPv4 address of one to four numbers, the last of which fills what is left. */
  const address = fc.oneof(
    fc.nat({ max: 2 ** 32 - 1 }).chain(number),
    fc.tuple(byte, fc.nat({ max: 2 ** 24 - 1 }).chain(number)).map((parts) => parts.join(".")),
    fc.tuple(byte, byte, fc.nat({ max: 2 ** 16 - 1 }).chain(number)).map((parts) => parts.join(".")),
    fc.tuple(byte, byte, byte, byte).map((parts) => parts.join(".")),
  );

  it("an IPv4 address is one", () => {
    fc.assert(
      fc.property(around(address), (text) => {
        expect(read(text)).toEqual(refused(ADDRESS));
      }),
      { numRuns: 1_000 },
    );
  });

  it("an IPv6 address is one", () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.constantFrom("", ":443", ":8443"), (ip, port) => {
        expect(read(`https://[${ip}]${port}/webhooks`)).toEqual(refused(ADDRESS));
      }),
      { numRuns: 1_000 },
    );
  });

  it("a private name is one", () => {
    const name = fc.constantFrom(
      "localhost",
      "a.localhost",
      "a.b.localhost",
      "printer.local",
      "metadata.internal",
      "shop",
    );
    fc.assert(
      fc.property(around(name), (text) => {
        expect(read(text)).toEqual(refused(NOT_PUBLIC));
      }),
      { numRuns: 1_000 },
    );
  });

  it("the service itself is it", () => {
    fc.assert(
      fc.property(around(fc.constant(OWN_HOST)), (text) => {
        expect(read(text)).toEqual(refused(OWN));
      }),
      { numRuns: 1_000 },
    );
  });

  /** Texts of what URLs are made of. */
  const soup = fc
    .array(
      fc.oneof(
        fc.constantFrom("shop", "example", "com", "localhost", "local", "internal", OWN_HOST, "a", "b", "ü"),
        fc.constantFrom("127", "0x7f", "0177", "2130706433", "0", "1", "255", "１", "[", "]", "[::1]", "::", "ffff"),
        fc.constantFrom(".", ".", ".", ".", "。", "%2e", "..", ":", ":443", "@", "%40", "/", "\\", "?", "#", "%23"),
        fc.constantFrom(" ", "\t", "\n", "\u00ad", "\u200b", "\0", "%", "%00", "%5b", "_", "-", "xn--", "*"),
        fc.string({ unit: "binary", maxLength: 2 }),
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.join(""));
  const scheme = fc.constantFrom("https://", "https:", "HTTPS:\\\\", "http://", "https:/\t/");
  const texts = fc.oneof(
    fc.webUrl({ withQueryParameters: true }),
    fc.tuple(scheme, soup).map((parts) => parts.join("")),
  );

  const isPrivate = (host: string) => /(^|\.)(localhost|local|internal)$|^pay\.example\.com$/.test(host);
  const isLoopback = (host: string) =>
    host === "localhost" || host === "[::1]" || (isIP(host) === 4 && /^127\./.test(host));

  it("what is accepted goes by TLS to a public name, and is read as itself", () => {
    let accepted = 0;
    fc.assert(
      fc.property(texts, (text) => {
        const answer = read(text);
        if (!answer.ok) return;
        accepted++;
        const { protocol, hostname, username, password, href } = new URL(answer.url);
        expect(protocol).toBe("https:");
        expect(isIP(hostname.replace(/^\[|\]$/g, ""))).toBe(0);
        expect(hostname).toMatch(/^[a-z\d_-]+(\.[a-z\d_-]+)+$/);
        expect(hostname).not.toSatisfy(isPrivate);
        expect([username, password]).toEqual(["", ""]);
        expect(answer.url).not.toContain("#");
        expect(answer.url).toBe(href);
        expect(read(answer.url)).toEqual(answer);
      }),
      { numRuns: 10_000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  it("what is accepted on one's own machine besides, stays on it", () => {
    const host = fc.oneof(
      soup,
      fc.tuple(fc.constantFrom("localhost", "127.1", "[::1]"), soup).map((parts) => parts.join("")),
    );
    let accepted = 0;
    fc.assert(
      fc.property(scheme, host, (start, rest) => {
        const answer = readLocally(start + rest);
        if (!answer.ok || readUrl(start + rest, PUBLIC_ONLY).ok) return;
        accepted++;
        expect(new URL(answer.url).hostname).toSatisfy(isLoopback);
        expect(readLocally(answer.url)).toEqual(answer);
      }),
      { numRuns: 10_000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});
