/** The script of the copy buttons. Browsers without script show none. */
export const copyScript = `'use strict'
for (const button of document.querySelectorAll('button[data-copy]')) {
  const source = document.getElementById(button.dataset.copy)
  if (!source || !navigator.clipboard) continue
  button.hidden = false
  const name = button.textContent
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText('value' in source ? source.value : source.textContent)
      button.textContent = 'Copied'
    } catch {
      button.textContent = 'Select the text and copy it'
      if (source.select) source.select()
    }
    setTimeout(() => { button.textContent = name }, 3000)
  })
}
`
