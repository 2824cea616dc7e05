/** /problems: what each problem type of RFC 9457 means. Public, the same for everybody. */
import { Router, type Request, type Response } from 'express'
import { TtsError } from '../base/errors.ts'
import { errorCodes, type ErrorDescription, problemsUrl } from './error-codes.ts'
import { routeName } from './request.ts'

interface Page {
  readonly html: string
  readonly markdown: string
}

/** @param publicUrl where clients reach the service, for links that hold under a path too */
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

/** HTML for browsers, Markdown for everybody else. */
function send(request: Request, response: Response, { html, markdown }: Page): void {
  const wantsHtml = request.accepts(['text/markdown', 'text/html']) === 'text/html'
  response.vary('Accept')
  response.setHeader('Cache-Control', 'public, max-age=3600')
  response.type(wantsHtml ? 'text/html' : 'text/markdown').send(wantsHtml ? html : markdown)
}

function problemPage(code: string, description: ErrorDescription): Page {
  const { status, title, meaning, mayRetry, action } = description
  const retry = mayRetry
    ? 'The same request may succeed later: repeat it after a pause that grows.'
    : 'Repeating the same request does not help.'
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
    html: documentOf(heading, [`<ul>\n${items.join('\n')}\n</ul>`]),
  }
}

/** The texts are all from the table of errors, which has no characters that HTML must escape. */
function page(heading: string, paragraphs: readonly string[]): Page {
  return {
    markdown: [`# ${heading}`, ...paragraphs].join('\n\n') + '\n',
    html: documentOf(
      heading,
      paragraphs.map((text) => `<p>${text.replace(/`([^`]*)`/g, '<code>$1</code>')}</p>`),
    ),
  }
}

function documentOf(heading: string, content: readonly string[]): string {
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
