/** Formats times and other values for pages. */
import { html, type Html } from '../html/html.ts'

const units = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const

/** Formats a duration in its two largest units: `2 days 3 hours`. */
export function durationInWords(seconds: number): string {
  const parts = units.flatMap(([name, size], index) => {
    const before = units[index - 1]?.[1]
    const within = before === undefined ? seconds : seconds % before
    const count = Math.floor(within / size)
    return count === 0 ? [] : [`${count} ${name}${count === 1 ? '' : 's'}`]
  })
  return parts.length === 0 ? 'less than a minute' : parts.slice(0, 2).join(' ')
}

/** Formats the time left until `end`. */
export function timeLeftInWords(end: Date, now: Date): string {
  const seconds = Math.floor((end.getTime() - now.getTime()) / 1000)
  return seconds > 0 ? `${durationInWords(seconds)} left` : 'ended'
}

/** Renders a point in time in UTC. The script of the pages replaces it by the browser's local time. */
export function instant(at: Date): Html {
  const iso = at.toISOString()
  return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC</time>`
}

/** Renders the contact: a link if it is an e-mail address or URL, otherwise as text. */
export function contactLink(contact: string): Html {
  const href = /^[\w.+-]+@[\w-]+(\.[\w-]+)+$/.test(contact)
    ? `mailto:${contact}`
    : /^https:\/\/[\w.~:/?#&=%+-]+$/.test(contact)
      ? contact
      : undefined
  const name = html`<bdi>${contact}</bdi>`
  return href === undefined ? name : html`<a href="${href}">${name}</a>`
}

/** Turns a message into a sentence. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`
}
