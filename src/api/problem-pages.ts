/** /problems: public pages that explain each problem type (RFC 9457 section 3.1.1). */
import { Router, type Request, type Response } from 'express'
import { TtsError } from '../base/errors.ts'
import { errorCodes, type ErrorDescription, problemsUrl } from './error-codes.ts'
import { routeName } from './request.ts'

interface Page {
  readonly html: string
  readonly markdown: string
}

/** @param publicUrl URL under which clients reach the service; links start with it, because it may have a path */
export function problemRoutes(publicUrl: string | undefined): Router {
  const router = Router()
  const base = problemsUrl(publicUrl)
  const index = indexPage(base)
  const pages = new Map(
    Object.entries(errorCodes).map(([code, description]) => [code, problemPage(code, description)]),
  )
  router.get('/', routeName('/problems'), (request, response) => send(request, response, index))
  router.get('/:code', routeName('/problems/{code}'), (request, response) => {
    const page = pages.get(String(request.params['code']))
    if (page === undefined) throw new TtsError('not_found', 'no problem type has this code')
    send(request, response, page)
  })
  return router
}

/** Browsers get HTML, all other clients Markdown. */
function send(request: Request, response: Response, { html, markdown }: Page): void {
  const wantsHtml = request.accepts(['text/markdown', 'text/html']) === 'text/html'
  response.vary('Accept')
  response.setHeader('Cache-Control', 'public, max-age=3600')
  response.type(wantsHtml ? 'text/html' : 'text/markdown').send(wantsHtml ? html : markdown)
}

function problemPage(code: string, description: ErrorDescription): Page {
  const { status, title, meaning, mayRetry, action } = description
  const retry = mayRetry
    ? 'The same request may succeed later: retry with a growing delay.'
    : 'Do not retry the same request: it will fail again.'
  return page(`${title} (${code})`, [
    `HTTP status ${status}, code \`${code}\`.`,
    meaning,
    action,
    retry,
  ])
}

function indexPage(base: string): Page {
  const heading = 'Problem types'
  const entries = Object.entries(errorCodes)
  const links = entries.map(([code, { title }]) => `- [${code}](${base}/${code}): ${title}`)
  const items = entries.map(
    ([code, { title }]) => `<li><a href="${base}/${code}">${code}</a>: ${title}</li>`,
  )
  return {
    markdown: `# ${heading}\n\n${links.join('\n')}\n`,
    html: htmlDocument(heading, [`<ul>\n${items.join('\n')}\n</ul>`]),
  }
}

/** Needs no HTML escaping: all texts come from the table of error codes, which has no special characters. */
function page(heading: string, paragraphs: readonly string[]): Page {
  return {
    markdown: [`# ${heading}`, ...paragraphs].join('\n\n') + '\n',
    html: htmlDocument(
      heading,
      paragraphs.map((text) => `<p>${text.replace(/`([^`]*)`/g, '<code>$1</code>')}</p>`),
    ),
  }
}

function htmlDocument(heading: string, content: readonly string[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${heading}</title>
</head>
<body>
<main>
<h1>${heading}</h1>
${content.join('\n')}
</main>
</body>
</html>
`
}
