// Asks the browser for a passkey and puts what it answers into the form. Without it the one-time code signs.
"use strict";
(() => {
  const form = document.querySelector("form[data-passkey]");
  const button = form?.querySelector("[data-passkey-go]");
  if (!button || !window.PublicKeyCredential) return;
  const said = form.querySelector("[data-passkey-said]");
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
  const say = (words) => {
    said.textContent = words;
    said.hidden = !words;
  };
  const reasons = {
    NotAllowedError: "The passkey did not answer: it was cancelled, took too long, or is not on this device.",
    InvalidStateError: "This device holds a passkey of yours already. Use another device.",
    SecurityError: "Passkeys are enrolled for another address than the one that you opened.",
    NotSupportedError: "This device makes no passkeys of a kind that the record takes.",
  };
  const named = (ids) => ids.map((id) => ({ type: "public-key", id: bytes(id) }));

  const create = async () => {
    const ask = JSON.parse(form.dataset.ask);
    ask.challenge = bytes(ask.challenge);
    ask.user.id = bytes(ask.user.id);
    ask.excludeCredentials = named(ask.excludeCredentials.map((one) => one.id));
    const made = await navigator.credentials.create({ publicKey: ask });
    form.elements.client_data.value = text(made.response.clientDataJSON);
    form.elements.attestation_object.value = text(made.response.attestationObject);
  };

  const sign = async () => {
    const answers = [];
    const challenges = JSON.parse(form.dataset.challenges);
    for (const [number, challenge] of challenges.entries()) {
      if (challenges.length > 1) say(`Record ${number + 1} of ${challenges.length}: your passkey is asked.`);
      const given = await navigator.credentials.get({
        publicKey: {
          challenge: bytes(challenge), rpId: form.dataset.rp, userVerification: "required",
          allowCredentials: named(JSON.parse(form.dataset.credentials)),
        },
      });
      answers.push({
        credential: text(given.rawId), authenticator_data: text(given.response.authenticatorData),
        client_data: text(given.response.clientDataJSON), signature: text(given.response.signature),
      });
    }
    form.elements.assertions.value = JSON.stringify(answers);
  };

  button.hidden = false;
  button.addEventListener("click", async () => {
    say("");
    const code = form.elements.code;
    if (code) code.required = form.dataset.code === "due";
    const complete = form.reportValidity();
    if (code) code.required = form.dataset.code !== "either";
    if (!complete) return;
    button.disabled = true;
    try {
      await (form.dataset.passkey === "create" ? create() : sign());
      form.submit();
    } catch (error) {
      const words = reasons[error.name] || `The browser refused: ${error.message}`;
      say(`${words} Nothing was signed.`);
      button.disabled = false;
      button.focus();
    }
  });
})();
