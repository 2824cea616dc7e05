/** A diagram in Mermaid, drawn in the browser in the colours of the page. Without script its source is shown. */
import type * as Mermaid from 'mermaid'
import { useData, withBase } from 'vitepress'
import { defineComponent, h, onMounted, ref, useId, watch } from 'vue'

/** On a phone a diagram does not become smaller than this, in pixels: one scrolls. */
const NARROWEST = 620

const LIGHT = { theme: 'neutral' } as const
/** The grey that Mermaid puts behind texts on lines has too little contrast. */
const DARK = { theme: 'dark', themeVariables: { edgeLabelBackground: '#1b1b1f' } } as const

function readable(svg: string): string {
  return svg.replace(
    /max-width: ([\d.]+)px;/,
    (style, width: string) => `${style} min-width: ${Math.min(Number(width), NARROWEST)}px;`,
  )
}

export const MermaidDiagram = defineComponent({
  props: { source: { type: String, required: true } },
  setup({ source }) {
    const { isDark } = useData()
    const id = useId()
    const text = decodeURIComponent(source)
    const drawing = ref('')
    const problem = ref('')
    async function draw(): Promise<void> {
      try {
        const address = withBase('/mermaid/mermaid.esm.min.mjs')
        const { default: mermaid } = (await import(/* @vite-ignore */ address)) as typeof Mermaid
        mermaid.initialize({ startOnLoad: false, ...(isDark.value ? DARK : LIGHT) })
        drawing.value = readable((await mermaid.render(`mermaid-${id}`, text)).svg)
      } catch (error) {
        problem.value = String(error)
      }
    }
    onMounted(draw)
    watch(isDark, draw)
    return () =>
      drawing.value === ''
        ? h('pre', { class: 'mermaid-source', title: problem.value || undefined }, text)
        : h('div', { class: 'mermaid-diagram', tabindex: 0, innerHTML: drawing.value })
  },
})
