import { expect, test } from 'vitest'
import { flameSvg } from '../../../bench/flame/svg.ts'

const stacks = [
  { frames: ['main thread', 'issue src/issue.ts', 'OpenSSL'], samples: 60 },
  { frames: ['main thread', '<b> & c'], samples: 39 },
  { frames: ['threads of V8'], samples: 1 },
]

test('a box is as wide as its share, below its caller and beside its neighbours', () => {
  const svg = flameSvg(stacks, 'one <proxy>')
  const boxes = [...svg.matchAll(/<title>(.*?)<\/title><rect x="(\S+)" y="(\S+)" width="(\S+)"/g)]
  expect(boxes.map(([, title, x, y, width]) => [title, x, y, width])).toEqual([
    ['main thread: 99.0 %', '12.0', '54', '1164.2'],
    ['issue src/issue.ts: 60.0 %', '12.0', '71', '705.6'],
    ['OpenSSL: 60.0 %', '12.0', '88', '705.6'],
    ['&lt;b&gt; &amp; c: 39.0 %', '717.6', '71', '458.6'],
    ['threads of V8: 1.0 %', '1176.2', '54', '11.8'],
  ])
  expect(svg).toContain('>one &lt;proxy&gt;</text>')
  expect(svg).toContain('height="117"')
})

test('boxes too narrow to see are left out, and labels are cut to their box', () => {
  const long = `f${'x'.repeat(300)}`
  const many = [...stacks, { frames: [long], samples: 10_000 }]
  const svg = flameSvg(many, 'one')
  expect(svg).not.toContain('threads of V8')
  expect(svg).toMatch(/<text [^>]*>fx+…<\/text>/)
  expect(flameSvg([], 'nothing')).toMatch(/^<svg /)
})
