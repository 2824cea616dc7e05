/** A chart of the rates: horizontal bars, as SVG. */
import { machineText } from './machine.ts'
import type { Result, Results } from './results.ts'

interface Bar {
  readonly label: string
  readonly perSecond: number
  readonly kind: 'raw' | 'ours' | 'peer'
}

const WIDTH = 900
const LABEL_WIDTH = 370
const BAR_WIDTH = 430
const BAR_HEIGHT = 22
const STEP = 32
const TOP = 64

const colours = { raw: '#8a8f98', ours: '#2563a8', peer: '#c2752b' }

export function chartSvg(results: Results): string {
  const bars = barsOf(results)
  const most = Math.max(...bars.map(({ perSecond }) => perSecond))
  const height = TOP + bars.length * STEP + 30
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="14">
  <rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
  <text x="16" y="28" font-size="17" font-weight="600" fill="#1b1f24">Credentials a second</text>
  <text x="16" y="48" font-size="12" fill="#57606a">${escapeXml(machineText(results.machine))}</text>
${bars.map((bar, index) => barSvg(bar, { index, most })).join('\n')}
  <text x="16" y="${height - 12}" font-size="12" fill="#57606a">Grey: RSA-2048 signatures by node:crypto on all cores. Load generator on the same cores.</text>
</svg>
`
}

/** What is comparable: standard connections, SQLite without rows, and the peers. */
function barsOf({ raw, results }: Results): readonly Bar[] {
  const seen = new Set<string>()
  const isShown = ({ name, rows, store, measured }: Result): boolean => {
    if (seen.has(name) || rows > 0 || store === 'postgres' || measured.raw === undefined)
      return false
    seen.add(name)
    return true
  }
  const shown = results.filter(isShown).map(({ title, measured, isPeer }): Bar => {
    return { label: title, perSecond: measured.perSecond, kind: isPeer ? 'peer' : 'ours' }
  })
  const { perSecond } = raw['rsa-2048 signature']
  const fastestFirst = shown.toSorted((one, other) => other.perSecond - one.perSecond)
  return [{ label: 'raw RSA-2048 signatures', perSecond, kind: 'raw' }, ...fastestFirst]
}

function barSvg(
  { label, perSecond, kind }: Bar,
  { index, most }: { readonly index: number; readonly most: number },
): string {
  const y = TOP + index * STEP
  const width = Math.max(1, (perSecond / most) * BAR_WIDTH).toFixed(1)
  const rate =
    perSecond < 100 ? perSecond.toFixed(1) : Math.round(perSecond).toLocaleString('en-US')
  const textY = y + BAR_HEIGHT - 6
  return `  <text x="${LABEL_WIDTH - 10}" y="${textY}" text-anchor="end" font-size="12.5" fill="#1b1f24">${escapeXml(label)}</text>
  <rect x="${LABEL_WIDTH}" y="${y}" width="${width}" height="${BAR_HEIGHT}" rx="2" fill="${colours[kind]}"/>
  <text x="${(LABEL_WIDTH + Number(width) + 8).toFixed(1)}" y="${textY}" fill="#1b1f24">${rate}</text>`
}

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
