/** Shows times in the time zone of the browser. Without script, the pages show UTC. */
export const localTimeScript = `
for (const time of document.querySelectorAll('time[datetime]')) {
  const at = new Date(time.dateTime)
  if (Number.isNaN(at.getTime())) continue
  const two = (number) => String(number).padStart(2, '0')
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join('-')
  const zone = new Intl.DateTimeFormat('en', { timeZoneName: 'short' })
    .formatToParts(at)
    .find(({ type }) => type === 'timeZoneName')
  time.title = time.textContent
  time.textContent = day + ' ' + two(at.getHours()) + ':' + two(at.getMinutes()) + ' ' + (zone ? zone.value : '')
}
`
