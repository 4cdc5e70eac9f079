//! The languages that people are told in.

use serde::{Deserialize, Serialize};

use super::action::{Notification, TriggerFacts};

/// A language that people are told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English: what logs, timelines and the API have, and everybody who says nothing.
    #[default]
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// The language as a configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// The language as the web and mail name it (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }
}

/// What a notification says in Chinese.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chinese {
    /// One line that says all that matters.
    pub summary: String,
    /// What the reader should do now.
    pub advice: String,
    /// What the first page of its story said, where this is a later one and that was told in Chinese too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<String>,
    /// The words of the trigger, where the notification has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<TriggerWords>,
}

/// What is said of a trigger's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerWords {
    /// The trigger's name as people call it.
    pub label: String,
    /// The value.
    pub text: String,
    /// The threshold.
    pub threshold_text: String,
    /// Where the baseline comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_source: Option<String>,
}

/// A sentence in every language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    english: String,
    chinese: String,
}

impl Sentence {
    /// What it is in each language.
    pub fn of(say: impl Fn(Language) -> String) -> Self {
        Self { english: say(Language::English), chinese: say(Language::Chinese) }
    }

    /// It in this language.
    pub fn in_language(&self, language: Language) -> &str {
        match language {
            Language::English => &self.english,
            Language::Chinese => &self.chinese,
        }
    }

    /// There is nothing to do.
    pub fn nothing_to_do() -> Self {
        Self { english: "Nothing.".to_owned(), chinese: "无需处理。".to_owned() }
    }
}

/// What others said, an error say, is the same in every language.
impl From<String> for Sentence {
    fn from(text: String) -> Self {
        Self { english: text.clone(), chinese: text }
    }
}

impl From<&str> for Sentence {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Notification {
    /// Says this, in every language.
    pub fn say(&mut self, summary: Sentence, advice: Sentence) {
        self.summary = summary.english;
        self.advice = advice.english;
        let (summary, advice) = (summary.chinese, advice.chinese);
        self.chinese = Some(Box::new(Chinese { summary, advice, opening: None, trigger: None }));
    }

    /// The one line that says all that matters. In English where it is not there in that language: one that was made before somebody
    /// wanted it, say.
    pub fn summary_in(&self, language: Language) -> &str {
        self.in_chinese(language).map_or(&self.summary, |chinese| &chinese.summary)
    }

    /// What the reader should do now; in English as above.
    pub fn advice_in(&self, language: Language) -> &str {
        self.in_chinese(language).map_or(&self.advice, |chinese| &chinese.advice)
    }

    /// What the first page of its story said; in English as above.
    pub fn opening_in(&self, language: Language) -> Option<&str> {
        let opening = self.opening.as_ref()?;
        Some(self.in_chinese(language).and_then(|chinese| chinese.opening.as_ref()).unwrap_or(&opening.summary))
    }

    /// What is said of the trigger's numbers; in English as above.
    pub fn trigger_in(&self, language: Language) -> Option<TriggerWords> {
        let trigger = self.trigger.as_ref()?;
        let chinese = self.in_chinese(language).and_then(|chinese| chinese.trigger.clone());
        Some(chinese.unwrap_or_else(|| trigger.words()))
    }

    /// The same with every text that is written for people in this language; in English as above. What programs go by stays: names, events,
    /// numbers, and what others said.
    pub fn with_texts_in(&self, language: Language) -> Self {
        let mut told = Self { chinese: None, ..self.clone() };
        if self.in_chinese(language).is_none() {
            return told;
        }
        self.summary_in(language).clone_into(&mut told.summary);
        self.advice_in(language).clone_into(&mut told.advice);
        if let (Some(opening), Some(summary)) = (&mut told.opening, self.opening_in(language)) {
            summary.clone_into(&mut opening.summary);
        }
        if let (Some(facts), Some(words)) = (&mut told.trigger, self.trigger_in(language)) {
            (facts.text, facts.threshold_text) = (words.text, words.threshold_text);
            facts.baseline_source = words.baseline_source;
        }
        told
    }

    /// The language that it is told in to somebody who wants this one.
    pub fn told_in(&self, language: Language) -> Language {
        if self.in_chinese(language).is_some() { language } else { Language::English }
    }

    fn in_chinese(&self, language: Language) -> Option<&Chinese> {
        self.chinese.as_deref().filter(|_| language == Language::Chinese)
    }
}

impl TriggerFacts {
    fn words(&self) -> TriggerWords {
        TriggerWords {
            label: self.name.clone(),
            text: self.text.clone(),
            threshold_text: self.threshold_text.clone(),
            baseline_source: self.baseline_source.clone(),
        }
    }
}
