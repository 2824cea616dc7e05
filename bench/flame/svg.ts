/** A flame graph as SVG: each box is a function, as wide as its share of the samples, above what it calls. */
import type { Stack } from './stacks.ts'

interface Box {
  readonly name: string
  samples: number
  readonly children: Map<string, Box>
}

const WIDTH = 1200
const MARGIN = 12
const ROW = 17
const TOP = 54
/** Narrower boxes are left out. */
const LEAST_WIDTH = 1.2
const CHARACTER_WIDTH = 6.1

const COLOURS: readonly (readonly [RegExp, string])[] = [
  [/ (src|ca|plugins)\//, '#9ec5f0'],
  [/^(main thread|thread)/, '#c9ced6'],
  [/^OpenSSL/, '#8fd19e'],
  [/^SQLite/, '#e8d28a'],
  [/^(V8|Node and V8|kernel)/, '#e3b1a2'],
  [/ node:/, '#d9c3ea'],
]
/** Of the packages. */
const OTHER_COLOUR = '#f3c58f'

/** @param title printed above the picture */
export function flameSvg(stacks: readonly Stack[], title: string): string {
  const root: Box = { name: 'all', samples: 0, children: new Map() }
  for (const { frames, samples } of stacks) add(root, frames, samples)
  const scale = (WIDTH - 2 * MARGIN) / Math.max(1, root.samples)
  const boxes: string[] = []
  let depth = 0
  const draw = (box: Box, x: number, level: number): void => {
    let left = x
    for (const child of widestFirst(box)) {
      const width = child.samples * scale
      if (width >= LEAST_WIDTH) {
        depth = Math.max(depth, level + 1)
        boxes.push(boxSvg(child, { left, level, width, share: child.samples / root.samples }))
        draw(child, left, level + 1)
      }
      left += width
    }
  }
  draw(root, MARGIN, 0)
  const height = TOP + depth * ROW + 12
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="11">
  <rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
  <text x="${MARGIN}" y="22" font-size="16" font-weight="600" fill="#1b1f24">${escapeXml(title)}</text>
  <text x="${MARGIN}" y="40" fill="#57606a">Width: share of the CPU time. Blue: our code; violet: Node in JavaScript; orange: packages; green: OpenSSL.</text>
${boxes.join('\n')}
</svg>
`
}

function add(root: Box, frames: readonly string[], samples: number): void {
  let box = root
  box.samples += samples
  for (const name of frames) {
    const child = box.children.get(name) ?? { name, samples: 0, children: new Map() }
    box.children.set(name, child)
    child.samples += samples
    box = child
  }
}

const widestFirst = ({ children }: Box): readonly Box[] =>
  [...children.values()].toSorted((one, other) => other.samples - one.samples)

interface Place {
  readonly left: number
  readonly level: number
  readonly width: number
  /** Of all samples, from 0 to 1. */
  readonly share: number
}

function boxSvg({ name }: Box, { left, level, width, share }: Place): string {
  const y = TOP + level * ROW
  const colour = COLOURS.find(([pattern]) => pattern.test(name))?.[1] ?? OTHER_COLOUR
  const fits = Math.floor((width - 6) / CHARACTER_WIDTH)
  const text = name.length <= fits ? name : `${name.slice(0, Math.max(0, fits - 1))}…`
  const label =
    fits < 4 ? '' : `<text x="${(left + 3).toFixed(1)}" y="${y + 12}">${escapeXml(text)}</text>`
  const full = `${name}: ${(share * 100).toFixed(1)} %`
  return `  <g><title>${escapeXml(full)}</title><rect x="${left.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${colour}" stroke="#ffffff" stroke-width="0.5"/>${label}</g>`
}

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
