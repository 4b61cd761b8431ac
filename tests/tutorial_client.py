"""The tutorial's calls with the official OpenAI client; the demo shows them."""

import os

import openai

base_url, model = os.environ["GODWIT_BASE_URL"], os.environ["GODWIT_MODEL"]
client = openai.Client(base_url=base_url, api_key="None")


def show(title, text):
    print(f"\n-- {title}\n{text}")


r = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "List 3 countries and their capitals."}],
    temperature=0,
    max_tokens=64,
)
show("chat.completions", r)

r = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "Complete this sentence: The weather today is"}],
    temperature=0.7,
    max_tokens=20,
    logit_bias={"12345": 50, "40000": -50, "11111": 25},
)
show("with logit_bias", r.choices[0].message.content)

r = client.chat.completions.create(
    model=model,
    messages=[
        {"role": "system", "content": "You are a knowledgeable historian who provides concise responses."},
        {"role": "user", "content": "Tell me about ancient Rome"},
        {"role": "assistant", "content": "Ancient Rome was a civilization centered in Italy."},
        {"role": "user", "content": "What were their major achievements?"},
    ],
    temperature=0.3,
    max_tokens=128,
    top_p=0.95,
    presence_penalty=0.2,
    frequency_penalty=0.2,
    n=1,
    seed=42,
)
show("several turns, seed 42", r.choices[0].message.content)

print("\n-- streaming")
for chunk in client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "Say this is a test"}], stream=True, max_tokens=64
):
    if chunk.choices[0].delta.content is not None:
        print(chunk.choices[0].delta.content, end="", flush=True)
print()

r = client.completions.create(
    model=model, prompt="List 3 countries and their capitals.", temperature=0, max_tokens=64, n=1, stop=None
)
show("completions", r)

r = client.completions.create(
    model=model,
    prompt="Write a short story about a space explorer. Once upon a time,",
    temperature=0.7,
    max_tokens=150,
    top_p=0.9,
    stop=["\n\n", "THE END"],
    presence_penalty=0.3,
    frequency_penalty=0.3,
    n=1,
    seed=123,
)
show("completions with stop strings and a seed", r.choices[0].text)
