/**
 * Edits the text of CHANGELOG.md: finds the notes of a section, and turns `## Unreleased` into the section of a
 * version.
 *
 * @see https://keepachangelog.com
 */

const UNRELEASED = 'Unreleased'

interface Section {
  /** Offset of the heading. */
  readonly start: number
  /** Offset after the line of the heading. */
  readonly bodyStart: number
  readonly end: number
}

function sectionOf(changelog: string, name: string): Section | undefined {
  const headings = [...changelog.matchAll(/^## (\S+).*\n?/gm)]
  const index = headings.findIndex(([, title]) => title === name)
  const heading = headings[index]
  if (heading === undefined) return undefined
  const { index: start, 0: line } = heading
  const end = headings[index + 1]?.index ?? changelog.length
  return { start, bodyStart: start + line.length, end }
}

/**
 * Returns the notes of a version, without its heading.
 *
 * @param name a version, or `Unreleased`
 * @throws {Error} if there is no such section, or it has only headings and blank lines
 */
export function notesOf(changelog: string, name: string = UNRELEASED): string {
  const section = sectionOf(changelog, name)
  if (section === undefined) throw new Error(`CHANGELOG.md has no section "## ${name}"`)
  const notes = changelog.slice(section.bodyStart, section.end).trim()
  if (notes.split('\n').every((line) => line.trim() === '' || line.startsWith('#')))
    throw new Error(`the section "## ${name}" of CHANGELOG.md is empty: describe the changes first`)
  return notes
}

/**
 * Moves the notes under `## Unreleased` into the section of a version, and leaves an empty `## Unreleased` above it.
 *
 * @param date of the release, as `2026-11-27`
 * @throws {Error} if there are no notes, or the version has a section already
 */
export function closeUnreleased(
  changelog: string,
  { version, date }: { readonly version: string; readonly date: string },
): string {
  if (sectionOf(changelog, version) !== undefined)
    throw new Error(`CHANGELOG.md has a section "## ${version}" already`)
  const notes = notesOf(changelog)
  const { start = 0, end = 0 } = sectionOf(changelog, UNRELEASED) ?? {}
  const sections = `## ${UNRELEASED}\n\n## ${version} - ${date}\n\n${notes}\n`
  const rest = changelog.slice(end)
  return changelog.slice(0, start) + sections + (rest === '' ? '' : `\n${rest}`)
}
