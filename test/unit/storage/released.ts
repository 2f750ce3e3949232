/** Which files a release has brought: its version in CHANGELOG.md, then each file's name and SHA-256 in hex. */
export type Released = Readonly<Record<string, Readonly<Record<string, string>>>>;

/**
 * What is wrong with the migrations, given what was released: none when all is well. Once a database has run a
 * migration, an edit of its file changes nothing there; so a released file stays as it is, and new ones come after it.
 *
 * @param changelog the text of CHANGELOG.md, newest section first
 * @param migrations the files that there are, and their checksums
 */
export function wrongWith(changelog: string, migrations: ReadonlyMap<string, string>, released: Released): string[] {
  const sections = [...changelog.matchAll(/^## (.+)$/gm)].map(([, title = ""]) => title);
  const releases = sections.flatMap((title) => /^\[?v?(\d+\.\d+\.\d+)\b/.exec(title)?.[1] ?? []);
  const listed = new Map(Object.values(released).flatMap((files) => Object.entries(files)));
  const last = [...listed.keys()].sort().at(-1) ?? "";
  const isListed = (file: string) => listed.has(file);
  const unlisted = [...migrations.keys()].filter((file) => !isListed(file));
  // The commit that cuts a release has no section for what comes after it.
  const isCut = releases.length > 0 && sections[0]?.includes(releases[0] ?? "");
  return [
    ...releases.filter((version) => !(version in released)).map((version) => `${version} does not list its migrations`),
    ...Object.keys(released)
      .filter((version) => !releases.includes(version))
      .map((version) => `${version} lists migrations, and CHANGELOG.md does not have it`),
    ...[...listed].flatMap(([file, checksum]) => {
      if (!migrations.has(file)) return [`${file} was released, and is gone`];
      return migrations.get(file) === checksum ? [] : [`${file} was released, and has changed`];
    }),
    ...unlisted.filter((file) => file < last).map((file) => `${file} comes before ${last}, which was released`),
    ...(isCut ? unlisted.map((file) => `${file} is in ${releases[0]}, which does not list it`) : []),
  ];
}
