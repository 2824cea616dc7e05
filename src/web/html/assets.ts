/** Style sheet, script and icon. The path of each contains the digest of its content. */
import { createHash } from 'node:crypto'
import { Router } from 'express'
import { routeName } from '../../api/request.ts'
import { copyScript } from './copy-script.ts'
import { localTimeScript } from './local-time-script.ts'
import { styleSheet } from './style-sheet.ts'

interface Asset {
  readonly path: string
  readonly type: string
  readonly content: string
}

const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1f5fa8"/><path d="M7 12h15m-5-5 5 5-5 5M25 21H10m5-5-5 5 5 5" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round"/></svg>`

/** The assets that pages link to. */
export const assets = {
  style: asset('style', 'css', { type: 'text/css', content: styleSheet }),
  script: asset('page', 'js', { type: 'text/javascript', content: copyScript + localTimeScript }),
  icon: asset('icon', 'svg', { type: 'image/svg+xml', content: icon }),
} as const

function asset(
  name: string,
  ending: string,
  { type, content }: Pick<Asset, 'type' | 'content'>,
): Asset {
  const digest = createHash('sha256').update(content).digest('hex').slice(0, 16)
  return { path: `/assets/${name}-${digest}.${ending}`, type: `${type}; charset=utf-8`, content }
}

export function assetRoutes(): Router {
  const router = Router()
  for (const { path, type, content } of Object.values(assets)) {
    router.get(path, routeName('/assets'), (_request, response) => {
      // The path changes with the content.
      response.setHeader('Cache-Control', 'public, max-age=31536000, immutable')
      response.removeHeader('Vary')
      response.type(type).send(content)
    })
  }
  // Browsers ask for this path where a page names no icon, for example for the answers of the API.
  router.get('/favicon.ico', routeName('/favicon.ico'), (_request, response) => {
    response.setHeader('Cache-Control', 'public, max-age=86400')
    response.type(assets.icon.type).send(assets.icon.content)
  })
  return router
}
