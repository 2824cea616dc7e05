/** The site of the documentation: the Markdown files of the repository, as they are. */
import { copyFileSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { defineConfig } from 'vitepress'
import { configureMarkdown, linkedFiles, root, slugify } from './markdown.ts'
import { nav, sidebar } from './navigation.ts'

/** A key, drawn as an SVG. */
const ICON = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="none" stroke="#3451b2" stroke-width="2">' +
    '<circle cx="5" cy="8" r="3"/><path d="M8 8h7M12 8v3M15 8v2"/></svg>',
)}`

export default defineConfig({
  title: 'Token Translation Service',
  description:
    'Turns OpenID Connect access tokens into X.509 credentials that grid middleware accepts',
  lang: 'en',
  head: [['link', { rel: 'icon', href: ICON }]],
  srcDir: 'pages',
  outDir: 'dist',
  markdown: { anchor: { slugify }, config: configureMarkdown },
  themeConfig: {
    nav: [...nav],
    sidebar: sidebar.map((group) => ({ ...group, items: [...group.items] })),
    outline: { level: [2, 3] },
    search: { provider: 'local' },
  },
  buildEnd({ outDir }) {
    for (const name of linkedFiles) {
      const copy = join(outDir, 'files', name)
      mkdirSync(dirname(copy), { recursive: true })
      copyFileSync(join(root, name), copy)
    }
  },
})
