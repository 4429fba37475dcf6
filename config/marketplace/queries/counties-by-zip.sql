-- The counties of a ZIP. Plans are sold by county, so the shopper chooses one of these.
select c.county_fips, c.county_name, c.state, c.rating_area
from zip_county z
join counties c on c.county_fips = z.county_fips
where z.zip = :zip::text
order by c.county_fips
