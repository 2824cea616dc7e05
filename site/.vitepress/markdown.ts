/** What our Markdown needs beyond that of VitePress, so that the same files read well in the repository. */
import { existsSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import type { MarkdownRenderer } from 'vitepress'

/** The repository, which has the pages. */
export const root = resolve(import.meta.dirname, '../..')

/** Files of the repository that pages link to, and that are no pages. They are copied into the site. */
export const linkedFiles = new Set<string>()

/** An anchor as GitHub makes it; links in our documents rely on that. */
export const slugify = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-')

export function configureMarkdown(markdown: MarkdownRenderer): void {
  drawDiagrams(markdown)
  linkFiles(markdown)
}

/** Blocks of Mermaid become the component that draws them. */
function drawDiagrams(markdown: MarkdownRenderer): void {
  const { fence } = markdown.renderer.rules
  markdown.renderer.rules.fence = (tokens, index, ...others) => {
    const { info = '', content = '' } = tokens[index] ?? {}
    if (info.trim() === 'mermaid')
      return `<MermaidDiagram source="${encodeURIComponent(content)}" />\n`
    return fence?.(tokens, index, ...others) ?? ''
  }
}

/**
 * A link to a file that is no page leads to the copy of the file. The router would look for a page of that name. A link
 * to a directory leads to its README; without one it is text, because the site lists no directories.
 */
function linkFiles(markdown: MarkdownRenderer): void {
  const open = markdown.renderer.rules['link_open']
  markdown.renderer.rules['link_open'] = (tokens, index, options, env, self) => {
    const token = tokens[index]
    const href = token?.attrGet('href') ?? ''
    const file = resolve(root, dirname(env.relativePath), href)
    const isFile = /^(?:\.{1,2}\/)*[\w-][\w./-]*$/.test(href) && existsSync(file)
    const isDirectory = isFile && statSync(file).isDirectory()
    if (isDirectory && existsSync(join(file, 'README.md')))
      token?.attrSet('href', `${href.replace(/\/$/, '')}/README.md`)
    else if (isDirectory) {
      const close = tokens.slice(index).find(({ type }) => type === 'link_close')
      for (const each of [token, close]) if (each !== undefined) each.tag = 'span'
      if (token !== undefined) token.attrs = null
      return self.renderToken(tokens, index, options)
    }
    if (token === undefined || !isFile || isDirectory || href.endsWith('.md'))
      return open?.(tokens, index, options, env, self) ?? self.renderToken(tokens, index, options)
    const name = relative(root, file).split(sep).join('/')
    linkedFiles.add(name)
    token.attrSet('href', `/files/${name}`)
    token.attrSet('target', '_self')
    return self.renderToken(tokens, index, options)
  }
}
