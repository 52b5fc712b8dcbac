"""The sample texts of the demo data: names, places, messages, and the status paths of leads."""

from __future__ import annotations

#: First names and last names in Latin, Devanagari and Gujarati script; the combinations are invented.
FIRST = (
    ("Aarav", "आरव", "આરવ"),
    ("Aditi", "अदिति", "અદિતિ"),
    ("Bhavesh", "भावेश", "ભાવેશ"),
    ("Chetan", "चेतन", "ચેતન"),
    ("Darshana", "दर्शना", "દર્શના"),
    ("Esha", "एषा", "એષા"),
    ("Falguni", "फाल्गुनी", "ફાલ્ગુની"),
    ("Gaurav", "गौरव", "ગૌરવ"),
    ("Harshad", "हर्षद", "હર્ષદ"),
    ("Ishita", "इशिता", "ઇશિતા"),
    ("Jignesh", "जिग्नेश", "જીગ્નેશ"),
    ("Kavita", "कविता", "કવિતા"),
    ("Lalit", "ललित", "લલિત"),
    ("Meera", "मीरा", "મીરા"),
    ("Nilesh", "नीलेश", "નીલેશ"),
    ("Ojas", "ओजस", "ઓજસ"),
    ("Pooja", "पूजा", "પૂજા"),
    ("Rakesh", "राकेश", "રાકેશ"),
    ("Sneha", "स्नेहा", "સ્નેહા"),
    ("Tushar", "तुषार", "તુષાર"),
    ("Urvashi", "उर्वशी", "ઉર્વશી"),
    ("Vivek", "विवेक", "વિવેક"),
    ("Yamini", "यामिनी", "યામિની"),
    ("Zubin", "ज़ुबिन", "ઝુબિન"),
)
LAST = (
    ("Agarwal", "अग्रवाल", "અગ્રવાલ"),
    ("Bhatt", "भट्ट", "ભટ્ટ"),
    ("Chauhan", "चौहान", "ચૌહાણ"),
    ("Desai", "देसाई", "દેસાઈ"),
    ("Gandhi", "गांधी", "ગાંધી"),
    ("Iyer", "अय्यर", "ઐયર"),
    ("Joshi", "जोशी", "જોશી"),
    ("Kulkarni", "कुलकर्णी", "કુલકર્ણી"),
    ("Mehta", "मेहता", "મહેતા"),
    ("Nair", "नायर", "નાયર"),
    ("Oza", "ओझा", "ઓઝા"),
    ("Patel", "पटेल", "પટેલ"),
    ("Rana", "राणा", "રાણા"),
    ("Shah", "शाह", "શાહ"),
    ("Trivedi", "त्रिवेदी", "ત્રિવેદી"),
    ("Vyas", "व्यास", "વ્યાસ"),
)
CITIES = ("Ahmedabad", "Surat", "Rajkot", "Vadodara", "Mumbai", "Pune", "Nashik", "Delhi", "Jaipur", "Lucknow")
STREETS = ("Station Road", "M G Road", "Ring Road", "Gandhi Chowk", "Lake View Society", "Market Yard", "Temple Street")
#: The statuses that a lead went through, and how many of 100 leads took this path.
STATUS_PATHS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (14, ("New",)),
    (13, ("New", "Contacted")),
    (12, ("New", "Contacted", "Follow-up Scheduled")),
    (7, ("New", "Contacted", "Follow-up Scheduled", "Follow-up Complete")),
    (6, ("New", "Contacted", "Nurture")),
    (7, ("New", "Contacted", "Qualified")),
    (6, ("New", "Contacted", "Qualified", "Documents Collected")),
    (5, ("New", "Contacted", "Documents Collected", "Sent to HO")),
    (4, ("New", "Contacted", "Documents Collected", "Sent to HO", "Documents Verified")),
    (4, ("New", "Contacted", "Sent to HO", "Rejected - Follow-up Required")),
    (6, ("New", "Contacted", "Sent to HO", "Documents Verified", "Account Opened")),
    (7, ("New", "Contacted", "Sent to HO", "Documents Verified", "Account Opened", "Account Activated")),
    (4, ("New", "Contacted", "Unqualified")),
    (2, ("New", "Junk")),
    (2, ("New", "Contacted", "Lead Expired")),
    (1, ("New", "Contacted", "Account Opened", "Lead Expired (Account Opened)")),
)
REJECTIONS = (
    "Signature on the form differs from the PAN card",
    "Bank proof is older than three months",
    "Photograph missing on page 4",
    "Address proof does not match the form",
)
NOTES = (
    "Asked about brokerage for intraday; wants a comparison.",
    "Prefers calls after 5 pm.",
    "Speaks Gujarati at home.",
    "Will send the cancelled cheque tomorrow.",
    "Compares us with a discount broker.",
    "Trades futures and options.",
    "Wants a second account for the family.",
    "Documents are with the branch.",
    "Asked for a demo of the mobile app.",
    "कल शाम को फिर से बात करेंगे।",
    "શનિવારે ઓફિસ આવશે.",
    "Referred by a neighbour, trades since 2019.",
)
TASKS = (
    "Call back",
    "Collect the documents",
    "Send the account opening link",
    "Explain the brokerage plan",
    "Check the KYC status",
    "Visit the customer",
    "Confirm the first pay-in",
    "Demo of the mobile app",
)
#: Possible outcomes of an answered call; None = not logged yet.
OUTCOMES = (
    None,
    "Interested",
    "Call back later",
    "Documents promised",
    "Question answered",
    "Asked for charges",
    "Will visit the branch",
)
#: Outcomes of a call with a lead that was given up later.
LOST_OUTCOMES = ("Not interested", "Call back later", "Asked for charges")
MESSAGES = {
    "out": (
        "Namaste, this is Eshin Broking. Your account opening link: https://example.com/open",
        "Your documents have reached our head office.",
        "Reminder: please complete your re-KYC this week.",
        "नमस्ते, आपका खाता सक्रिय हो गया है।",
        "Your contract note for today has been sent.",
    ),
    "in": (
        "Please call me after 6.",
        "What are the charges for options?",
        "મારું એકાઉન્ટ ક્યારે ચાલુ થશે?",
        "I have sent the documents.",
        "Cannot log in since morning.",
        "धन्यवाद!",
    ),
}
#: Channel, and who says what, with which invented files (app/lib/sample_files.py).
CONVERSATIONS = (
    (
        "whatsapp",
        (
            ("in", "Hello, I would like to open an account. What do I need?"),
            (
                "out",
                "Good morning! A PAN card, a cancelled cheque and your Aadhaar. I can send you the link.",
            ),
            ("in", "Yes please. Can I do it on the phone?"),
            ("out", "Of course, it takes about ten minutes: https://example.com/open"),
            ("in", "Done. Here is the cheque.", "cancelled-cheque.pdf"),
        ),
    ),
    (
        "whatsapp",
        (
            ("out", "Namaste, your documents have reached our head office. Your account opens tomorrow."),
            ("in", "धन्यवाद! क्या मैं कल से ट्रेड कर सकता हूँ?"),
            ("out", "जी हाँ, कल सुबह 9:15 बजे से।"),
        ),
    ),
    (
        "sms",
        (
            ("out", "Dear customer, please complete your re-KYC this week. Eshin Broking"),
            ("in", "What is missing?"),
        ),
    ),
    (
        "whatsapp",
        (
            ("in", "What are the charges for options?"),
            ("out", "₹20 per executed order, whatever its size. There is no charge for delivery of shares."),
            ("in", "And for the account itself?"),
            ("out", "₹300 a year, the first year is free. It is all in here.", "charges.pdf"),
            ("in", "👍 I will think about it and call you."),
        ),
    ),
    (
        "whatsapp",
        (
            ("in", "મારું એકાઉન્ટ ક્યારે ચાલુ થશે?"),
            ("out", "આવતીકાલે. ચાલુ થતાં જ તમને સંદેશ મળશે."),
        ),
    ),
    (
        "whatsapp",
        (
            ("in", "I bought 200 shares of an ETF yesterday and they are not in my portfolio.", "portfolio.png"),
            ("out", "They arrive on the next trading day, so this evening. I will check at six and write to you."),
            ("in", "Thank you, that helps."),
        ),
    ),
)
#: Channel and text of unknown senders.
STRANGERS = (
    ("whatsapp", "Hi, a friend told me about you. Do you have a branch in Surat?"),
    ("whatsapp", "Cannot log in since morning."),
    ("sms", "Please call me after 6."),
    ("whatsapp", "मुझे डीमैट खाता खोलना है।"),
)
#: Label, channel and text of the message templates.
TEMPLATES = (
    (
        "Account opening link",
        "whatsapp",
        "en",
        "Namaste {{first_name}}, here is your account opening link: https://example.com/open",
    ),
    ("Documents received", "whatsapp", "en", "Namaste {{first_name}}, your documents have reached our head office."),
    ("Re-KYC reminder", "sms", "en", "Dear {{first_name}}, please complete your re-KYC this week. Eshin Broking"),
    ("खाता सक्रिय", "whatsapp", "hi", "नमस्ते {{first_name}}, आपका खाता सक्रिय हो गया है।"),
    ("Welcome", "email", "en", "Dear {{first_name}},\n\nwelcome to Eshin Broking. Your client ID is {{client_id}}.\n"),
    ("Documents missing", "note", "en", "Called {{first_name}}: a document is missing. Asked for it by WhatsApp."),
)
#: (title, path, description) of pages that are sent to customers.
SUPPORT_PAGES = (
    ("How to reset your password", "reset-password", "For the app and the website"),
    ("How to add a bank account", "bank-account", "What is needed, and how long it takes"),
    ("How to update your KYC", "kyc", "Address, nominee and mobile number"),
    ("Charges at a glance", "charges", None),
)
REQUEST_REASONS = (
    "They speak the customer's language.",
    "The customer lives in their area.",
    "I am away next week.",
)
RESOLUTIONS = (
    "Explained on the phone; the customer confirmed.",
    "Corrected in the back office, ledger checked.",
    "Password reset link sent and used.",
    "Document re-uploaded and approved by the exchange.",
)
#: Month and day of the holidays that are the same each year, and the other exchange holidays of 2026.
FIXED_HOLIDAYS = (
    (1, 26, "Republic Day"),
    (4, 14, "Dr Ambedkar Jayanti"),
    (5, 1, "Maharashtra Day"),
    (8, 15, "Independence Day"),
    (10, 2, "Gandhi Jayanti"),
    (12, 25, "Christmas"),
)
HOLIDAYS_2026 = (
    (3, 3, "Holi"),
    (3, 26, "Ram Navami"),
    (3, 31, "Mahavir Jayanti"),
    (4, 3, "Good Friday"),
    (5, 28, "Bakri Id"),
    (6, 26, "Muharram"),
    (9, 14, "Ganesh Chaturthi"),
    (10, 20, "Dussehra"),
    (11, 10, "Diwali"),
    (11, 24, "Guru Nanak Jayanti"),
)
